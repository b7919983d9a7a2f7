"""Gold made by a reviewer from a decision, and changed by a manager or a reviewer: which steps may be called the first mistake, and the
note. Reads decisions; reads and writes GoldAnswer.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from django.db import transaction

from annotation import ingest, labels
from annotation.models import Batch, Event, GoldAnswer, Project
from annotation.quality.reviewing import accepts, adjudications

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LONGEST_NOTE = 2_000  # characters
VERB = "change gold"
MADE = "make gold"
LISTED = 100  # gold solutions that the page of a batch lists


class NoGold(LookupError):
    """The solution is no gold in this project. The message says how it becomes gold."""


class GoldRefused(ValueError):
    """A change of gold that is not possible. The message says why and what to do. Nothing was changed."""


class GoldChanged(GoldRefused):
    """Somebody else changed this gold after the page was shown."""


@dataclass(frozen=True)
class ShownGold:
    """Gold as a page shows it. `seen` comes back with a change."""

    answer: GoldAnswer
    seen: str


@dataclass(frozen=True)
class GoldRow:
    """The gold of one solution as a list shows it."""

    solution_id: int
    steps: str  # that may be called the first mistake, in words
    note: str


@dataclass(frozen=True)
class GoldOfBatch:
    """The gold solutions of a batch, as far as its page lists them."""

    rows: list[GoldRow]
    has_more: bool


def gold_in(batch: Batch) -> GoldOfBatch:
    """Return the first gold solutions of a batch."""
    found = list(GoldAnswer.objects.filter(solution__task__batch=batch).order_by("solution")[: LISTED + 1])
    rows = [GoldRow(answer.pk, _numbers(sorted(answer.acceptable_first_errors)), answer.note) for answer in found[:LISTED]]
    return GoldOfBatch(rows, len(found) > LISTED)


def find_gold(project: Project, solution_id: int) -> ShownGold:
    """Return the gold of a solution, with the solution and its problem. Raises NoGold."""
    rows = GoldAnswer.objects.filter(pk=solution_id, solution__problem__project=project)
    answer = rows.select_related("solution__problem").first()
    if answer is None:
        raise NoGold(f"There is no gold for the solution {solution_id} in {project}. Practice, screening and gold make it, on Batches.")
    return ShownGold(answer, _seen(answer))


def make_gold(project: Project, solution_id: int, *, steps: Collection[int], note: str, seen: str, actor: "User") -> bool:
    """Make a solution gold by the decision of a reviewer, or change its gold to what that decision accepts. Return whether it was new.

    steps (from 0; none: no mistake) may be called the first mistake, and the decided one must be among them. seen: what the page showed of
    the gold; empty: there was none. Raises GoldRefused, GoldChanged.
    """
    if why := labels.why_no_reviewer(project, actor):
        raise GoldRefused(why)
    if labels.labeled_by(actor, [solution_id]):
        raise GoldRefused("You labeled this solution, so another reviewer makes it gold: nobody says which of their own answers are right.")
    decided = adjudications(project, [solution_id])
    if solution_id not in decided:
        raise GoldRefused("No reviewer has decided where the first mistake of this solution is. Decide first.")
    if not accepts(steps, decided[solution_id]):
        mistake = decided[solution_id]
        if mistake is None:
            raise GoldRefused("The decision is that there is no mistake, so gold cannot name a step. Leave all steps out, or decide again.")
        raise GoldRefused(f"The decision names step {mistake + 1}, so gold must accept it. Tick that step, or decide again.")
    if seen:
        change_gold(project, solution_id, steps=steps, note=note, seen=seen, actor=actor)
        return False
    with transaction.atomic():
        _, is_new = GoldAnswer.objects.get_or_create(solution_id=solution_id)
        if not is_new:
            raise GoldChanged(
                "Somebody else made this solution gold after you opened the page. Nothing was stored. It is shown as it is now."
            )
        change_gold(project, solution_id, steps=steps, note=note, seen=_seen(GoldAnswer(solution_id=solution_id)), actor=actor, verb=MADE)
    return True


def change_gold(
    project: Project, solution_id: int, *, steps: Collection[int], note: str, seen: str, actor: "User", verb: str = VERB
) -> None:
    """Store which steps (from 0; none: no mistake) may be called the first mistake, and the note that practice shows.

    Answers are judged by it from now on. Who was admitted stays admitted. Raises NoGold, GoldRefused, GoldChanged.
    """
    note = note.replace("\r\n", "\n").strip()
    if len(note) > LONGEST_NOTE:
        raise GoldRefused(f"The note has {len(note):,} characters. Write at most {LONGEST_NOTE:,}.")
    try:
        ingest.clean_text(note)
    except ingest.BadText as bad:
        raise GoldRefused(f"The note contains {bad}. Remove that character.") from None
    with transaction.atomic():
        rows = GoldAnswer.objects.select_for_update(of=["self"], no_key=True).select_related("solution")
        answer = rows.filter(pk=solution_id, solution__problem__project=project).first()
        if answer is None:
            raise NoGold(f"There is no gold for the solution {solution_id} in {project}.")
        if _seen(answer) != seen:
            last = (
                Event.objects.filter(verb__in=[VERB, MADE], subject=f"solution {solution_id}")
                .select_related("actor")
                .order_by("-pk")
                .first()
            )
            who = last.actor if last and last.actor else "Somebody else"
            raise GoldChanged(f"{who} changed this gold after you opened the page. Nothing was stored. The page shows it as it is now.")
        wanted = sorted(set(steps))
        if any(step not in range(len(answer.solution.steps)) for step in wanted):
            raise GoldRefused("The solution has no such step. Load the page again, and use its boxes.")
        old, changes_note = sorted(answer.acceptable_first_errors), note != answer.note
        if wanted == old and not changes_note and verb == VERB:
            return
        answer.acceptable_first_errors, answer.note = wanted, note
        answer.save(update_fields=["acceptable_first_errors", "note"])
        # The note is a text for people, so the event says only that it changed.
        details = ({"old": _numbers(old), "new": _numbers(wanted)} if wanted != old else {}) | (
            {"another_note": True} if changes_note else {}
        )
        Event.objects.create(actor=actor, project=project, verb=verb, subject=f"solution {solution_id}", details=details)


def _numbers(steps: Collection[int]) -> str:
    return ", ".join(f"step {step + 1}" for step in steps) or "no mistake"


def seen_of_gold(answer: GoldAnswer | None) -> str:
    """Return what a form carries of gold that its page showed; empty: there was none."""
    return _seen(answer) if answer else ""


def _seen(answer: GoldAnswer) -> str:
    return hashlib.sha256(orjson.dumps([sorted(answer.acceptable_first_errors), answer.note])).hexdigest()[:16]
