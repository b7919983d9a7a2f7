"""Stage: quality. Who is admitted to a project, and what the labels show about the work and the labelers.

Reads memberships, annotations, gold answers and the queue's counts. Writes Message, GoldAnswer, and Membership for what a manager does
about a member (the queue reads it). It comes after `labels`: pages, rounds and exports may use it, and it may use every stage before it.
"""

from annotation.quality.adjudicating import GoldChanged, GoldRefused, NoGold, change_gold, find_gold
from annotation.quality.admission import Screening, lease_next, open_screening, screening_of
from annotation.quality.batches import (
    BatchRow,
    DailyPace,
    Forecast,
    NoSuchBatch,
    batch_page,
    batches_of,
    can_begin,
    consequences,
    find_batch,
    forecast,
)
from annotation.quality.composing import TrustedSolution, drawn_for_newcomers, mix_gold, publish_for_newcomers, trusted_people
from annotation.quality.figures import count_again, figures_of
from annotation.quality.gold import BadScreening, is_within_gold
from annotation.quality.members import MemberChanged, MemberRefused, admit, change_role, pause, removal_of, remove, resume
from annotation.quality.messages import BadMessage, mark_read, messages_of, messages_to, recipients, send_message
from annotation.quality.overviews import DayTimes, Overview, PeopleAtWork, PersonAtWork, at_work, overview
from annotation.quality.practice import Feedback, feedback_on, open_practice
from annotation.quality.records import (
    GoldRecord,
    LabelerRecord,
    ProjectOfPerson,
    Work,
    day_in,
    day_of,
    gold_records,
    projects_of,
)
from annotation.quality.settling import Estimates, Prior, Settled, estimates_of, settle, settle_new, settled_in_words
from annotation.quality.team import MemberPage, MemberState, NoSuchMember, Team, find_member, member_page, team_of, work_by_day

__all__ = [
    "BadMessage",
    "BadScreening",
    "BatchRow",
    "DailyPace",
    "DayTimes",
    "Estimates",
    "Feedback",
    "Forecast",
    "GoldChanged",
    "GoldRecord",
    "GoldRefused",
    "LabelerRecord",
    "MemberChanged",
    "MemberPage",
    "MemberRefused",
    "MemberState",
    "NoGold",
    "NoSuchBatch",
    "NoSuchMember",
    "Overview",
    "PeopleAtWork",
    "PersonAtWork",
    "Prior",
    "ProjectOfPerson",
    "Screening",
    "Settled",
    "Team",
    "TrustedSolution",
    "Work",
    "admit",
    "at_work",
    "batch_page",
    "batches_of",
    "can_begin",
    "change_gold",
    "change_role",
    "consequences",
    "count_again",
    "day_in",
    "day_of",
    "drawn_for_newcomers",
    "estimates_of",
    "feedback_on",
    "figures_of",
    "find_batch",
    "find_gold",
    "find_member",
    "forecast",
    "gold_records",
    "settled_in_words",
    "is_within_gold",
    "lease_next",
    "mark_read",
    "member_page",
    "messages_of",
    "messages_to",
    "mix_gold",
    "open_practice",
    "open_screening",
    "overview",
    "pause",
    "projects_of",
    "publish_for_newcomers",
    "recipients",
    "removal_of",
    "remove",
    "resume",
    "screening_of",
    "send_message",
    "settle",
    "settle_new",
    "team_of",
    "trusted_people",
    "work_by_day",
]
