"""Stage: schedules. When a project's rounds start by themselves: after new labels, after some hours, or at a time of day.

Reads labels and rounds; writes Schedule and the two conditions that are columns of the project; starts rounds. Beat asks every minute. The
clock is the database's, in UTC. A round that is due while another is unfinished waits, and the schedule says so.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from active_learning import rounds
from active_learning.models import Labels, ModelKind, Round, Schedule
from active_learning.selection import EXPLORE_MIX, STRATEGIES, Recipe
from annotation import eligibility
from annotation.eligibility import Use
from annotation.models import Event, Project, Split, StepLabel
from trainer.counting import counted

log = logging.getLogger(__name__)
NEVER = "This schedule would never start a round. Enter a number of labels, a number of hours or a time, or switch it off."
VERB = "change schedule"
LARGEST = 2_147_483_647  # what the columns hold


class BadSchedule(ValueError):
    """A schedule that cannot be used. The message names the field and the remedy."""


class ScheduleChangedMeanwhile(RuntimeError):
    """Somebody changed the schedule after this person opened the page. The message says who and what. Nothing was changed."""


def read_time(text: str) -> time:
    """Return the time of day that a person typed, in UTC. Raises BadSchedule: seconds, an offset or a zone, 24:00."""
    typed = text.strip()
    if re.fullmatch(r"\d{1,2}:\d\d", typed):
        hours, minutes = map(int, typed.split(":"))
        if hours < 24 and minutes < 60:
            return time(hours, minutes)
        if (hours, minutes) == (24, 0):
            raise BadSchedule("The time of day cannot be 24:00. Enter 00:00 for midnight.")
        raise BadSchedule(f"There is no time of day “{typed}”. Enter hours from 0 to 23 and minutes from 0 to 59, such as 03:30.")
    if re.match(r"\d{1,2}:\d\d:\d", typed) and not re.search(r"[+\-−A-Za-z]", typed):
        raise BadSchedule(f"The time of day “{typed}” has seconds. Enter hours and minutes only, such as 03:30.")
    if re.match(r"T?\d{1,2}:?\d\d", typed) and re.search(r"[+\-−A-Za-z/]", typed):
        raise BadSchedule(
            f"The time of day “{typed}” has more than hours and minutes. The schedule is in UTC: enter the time in UTC, such as 03:30."
        )
    raise BadSchedule(f"The time of day must look like 03:30, not “{typed}”. It is in UTC.")


def find(project: Project) -> Schedule:
    """Return the project's schedule. A schedule that was never changed is on; only the project's own columns say when it starts a round."""
    return Schedule.objects.filter(project=project).first() or Schedule(project=project)


def recipe_of(project: Project, schedule: Schedule) -> Recipe:
    """Return the recipe that scheduled rounds follow: the chosen one, else EXPLORE_MIX with the project's size and limit."""
    return rounds.checked_recipe(schedule.recipe) if schedule.recipe else rounds.recipe_for(project, strategy=EXPLORE_MIX.name)


def settings_of(project: Project, schedule: Schedule) -> dict[str, Any]:
    """Return the settings of the recipe that scheduled rounds follow, with its weights as they were typed."""
    return recipe_of(project, schedule).as_dict() | ({"parts": schedule.recipe["parts"]} if schedule.recipe else {})


def values_of(project: Project, schedule: Schedule) -> dict[str, Any]:
    """Return a schedule in plain values, by the words that the audit shows. Weights are in percent, as they were typed."""
    recipe, sample = settings_of(project, schedule), schedule.sample
    return {
        "on": schedule.is_on,
        "after new labels": project.retrain_every_labels,
        "after hours": project.retrain_every_hours,
        "daily at (UTC)": schedule.daily_at and f"{schedule.daily_at:%H:%M}",
        "weights": {STRATEGIES[name].label: f"{100 * weight:.10g}" for name, weight in recipe["parts"]},
        "solutions": recipe["size"],
        "max. per problem": recipe["per_problem"],
        "diverse": recipe["is_diverse"],
        "stratified": recipe["is_stratified"],
        "new per problem": sample.get("n"),
        "drawn from": sample.get("model"),
        "max. tokens": sample.get("budget"),
        "learns from": Labels(schedule.labels).label,
    }


def version_of(project: Project, schedule: Schedule) -> str:
    """Return a text that differs for another schedule. A form brings it back, so that nobody overwrites what they did not see."""
    return hashlib.sha256(repr(values_of(project, schedule)).encode()).hexdigest()[:32]


def change(
    project: Project,
    *,
    is_on: bool,
    every_labels: int | None,
    every_hours: int | None,
    daily_at: time | None,
    recipe: Mapping[str, Any] | None,
    sample: Mapping[str, Any] | None = None,
    labels: str = Labels.EACH,
    actor: User | None,
    version: str = "",
) -> Schedule:
    """Store a schedule; `recipe` and `sample` are settings as forms give them. An unfinished round goes on. Raises BadSchedule.

    The recipe keeps its weights as they are given, whatever they add up to. `daily_at` is in UTC, without seconds. `version` is what the
    person saw (`version_of`); raises ScheduleChangedMeanwhile if it is another one now. Empty: it does not matter.
    """
    for name, value in (("new labels", every_labels), ("hours", every_hours)):
        if value is not None and not 1 <= value <= LARGEST:
            raise BadSchedule(f"The number of {name} must be from 1 to {LARGEST:,}, not {value:,}. Leave it blank if it should not count.")
    if is_on and every_labels is None and every_hours is None and daily_at is None:
        raise BadSchedule(NEVER)
    try:
        checked = rounds.checked_recipe(recipe) if recipe else recipe_of(project, Schedule())
        plan = rounds.RoundPlan(checked, train=True, sample=rounds.checked_sampling(sample) if sample else {}, labels=labels)
    except rounds.RoundRefused as refused:
        raise BadSchedule(str(refused)) from refused
    if plan.recipe is None:
        raise BadSchedule("The size must be at least 1, not 0. A scheduled round publishes a batch.")
    if daily_at and (daily_at.tzinfo or daily_at.second or daily_at.microsecond):
        read_time(daily_at.isoformat())
    # The weights stay as they were typed: as shares, 80, 20 and 10 would be 72.7273, 18.1818 and 9.0909.
    typed = {"parts": [list(part) for part in dict(recipe["parts"]).items()]} if recipe else {}
    columns = {
        "is_on": is_on,
        "daily_at": daily_at,
        "recipe": plan.recipe.as_dict() | typed,
        "sample": plan.sample,
        "labels": plan.labels,
        "note": "",
        "noted_at": None,
    }
    with transaction.atomic():
        locked = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # of two people, the second one sees what the first did
        before = find(locked)
        old, seen = values_of(locked, before), version_of(locked, before)
        if version and version != seen:
            raise ScheduleChangedMeanwhile(_who_changed(project, version))
        Project.objects.filter(pk=project.pk).update(retrain_every_labels=every_labels, retrain_every_hours=every_hours)
        schedule, _ = Schedule.objects.update_or_create(project=project, defaults=columns)
        locked.refresh_from_db(fields=["retrain_every_labels", "retrain_every_hours"])
        new = values_of(locked, schedule)
        changed = [name for name in new if new[name] != old[name]]
        if changed:
            details = {"old": {name: old[name] for name in changed}, "new": {name: new[name] for name in changed}, "version": seen}
            Event.objects.create(actor=actor, project=project, verb=VERB, subject=f"project {project.slug}", details=details)
    project.refresh_from_db(fields=["retrain_every_labels", "retrain_every_hours"])
    return schedule


def _who_changed(project: Project, version: str) -> str:
    """Say who changed the schedule last, and what, since it had this version."""
    event = Event.objects.filter(project=project, verb=VERB).select_related("actor").order_by("-pk").first()
    if event is None or "new" not in event.details:
        return "The schedule was changed after you opened this page. Nothing was saved."
    who = event.actor.get_username() if event.actor else "Somebody at the command line"
    return (
        f"{who} changed the schedule at {event.at:%Y-%m-%d %H:%M} UTC, after you opened this page: {', '.join(event.details['new'])}. "
        "Nothing was saved. Look at the schedule as it is now, and save again."
    )


def start_due_rounds() -> list[Round]:
    """Start a round in every project whose schedule is due and that has a new label since its last training."""
    started = []
    for project in (
        Project.objects.filter(
            Q(retrain_every_labels__isnull=False) | Q(retrain_every_hours__isnull=False) | Q(schedule__daily_at__isnull=False)
        )
        .filter(archived_at=None)
        .exclude(schedule__is_on=False)
    ):
        with transaction.atomic():
            if _decides_alone(project) and (round_ := _start_if_due(project)):
                started.append(round_)
    return started


def _decides_alone(project: Project) -> bool:
    """Whether nobody else decides about this schedule now: of two beats, one starts the round. Holds until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('active_learning.schedules'), %s)", [project.pk % 2**31])
        return cursor.fetchone()[0]


def _start_if_due(project: Project) -> Round | None:
    schedule = find(project)
    if not _is_due(project, schedule):
        return None
    try:
        plan = rounds.RoundPlan(recipe_of(project, schedule), train=True, sample=schedule.sample, labels=schedule.labels)
        round_ = rounds.start(project, plan)
    except rounds.RoundRefused as refused:
        _note(schedule, f"A round is due and could not start. {refused}")
        return None
    _note(schedule, "")
    return round_


def next_due(project: Project) -> str:
    """Return a sentence that says when the next round starts by itself."""
    schedule, last = find(project), _last(project)
    if not schedule.is_on:
        return "The schedule is off. Rounds start by hand."
    clauses = []
    if every := project.retrain_every_labels:
        left = every - _new_labels(project, last)[:every].count()
        clauses.append(f"after {counted(left, 'more label')}" if left else "within a minute, because there are enough new labels")
    if hours := project.retrain_every_hours:
        at = last and last.created_at + timedelta(hours=hours)
        clauses.append(f"at {at:%Y-%m-%d %H:%M} UTC" if at and at > _now() else "within a minute of the next label")
    if schedule.daily_at:
        at = datetime.combine(_now(), schedule.daily_at, tzinfo=_now().tzinfo)
        is_over = at <= _now() and not _is_due(project, schedule)
        clauses.append(f"at {at + timedelta(days=is_over):%Y-%m-%d %H:%M} UTC, if there is a new label")
    return f"The next round starts {', or '.join(clauses)}." if clauses else "No round starts by itself. Rounds start by hand."


def _is_due(project: Project, schedule: Schedule) -> bool:
    last = _last(project)
    labels = _new_labels(project, last)
    every, hours = project.retrain_every_labels, project.retrain_every_hours
    if every is not None and labels[:every].count() == every:
        return True
    now, began = _now(), last.created_at if last else None
    by_hours = hours is not None and (began is None or began < now - timedelta(hours=hours))
    by_clock = False
    if schedule.daily_at:
        today = datetime.combine(now, schedule.daily_at, tzinfo=now.tzinfo)
        by_clock = today <= now and (began is None or began < today)
    return (by_hours or by_clock) and labels.exists()


def _last(project: Project) -> Round | None:
    """Return the last round that trained a PRM. It does not matter who started it, or how it ended."""
    return Round.objects.filter(project=project, plan__train=True, plan__kind=ModelKind.PRM).order_by("-created_at").first()


def _new_labels(project: Project, last: Round | None) -> QuerySet[StepLabel]:
    """Return the labels a training would read that came after the last one began."""
    annotations = eligibility.counting(Use.TRAINING).filter(solution__problem__project=project, solution__problem__split=Split.TRAIN)
    if last:
        annotations = annotations.filter(created_at__gt=last.created_at)
    return StepLabel.objects.filter(annotation__in=annotations, rating__isnull=False)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cursor.fetchone()[0]


def _note(schedule: Schedule, note: str) -> None:
    """Store what stands in the way, and log it once: beat asks every minute."""
    if schedule.note == note:
        return
    if note:
        log.warning("%s: %s", schedule.project.slug, note)
    Schedule.objects.update_or_create(project=schedule.project, defaults={"note": note[:300], "noted_at": Now() if note else None})
