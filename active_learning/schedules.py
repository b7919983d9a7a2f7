"""Stage: schedules. When a project's rounds start by themselves: by new labels, by the hours passed, by the time of day.

Reads labels and rounds; writes Schedule and the clauses that stand on the project, and starts rounds. Beat asks every minute. The clock is
the database's, in UTC. A round that is due while another is unfinished waits, and the schedule says so.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from active_learning import rounds
from active_learning.models import Round, Schedule
from active_learning.selection import EXPLORE_MIX, Recipe
from annotation.models import Annotation, Event, Project, Split, StepLabel

log = logging.getLogger(__name__)
LARGEST = 2_147_483_647  # what the columns hold


class BadSchedule(ValueError):
    """A schedule that cannot be kept; the message names the field and the remedy."""


def find(project: Project) -> Schedule:
    """Return the project's schedule; one that was never changed is on, and only the project's own clauses count."""
    return Schedule.objects.filter(project=project).first() or Schedule(project=project)


def change(
    project: Project,
    *,
    is_on: bool,
    every_labels: int | None,
    every_hours: int | None,
    daily_at: time | None,
    recipe: Mapping[str, Any] | None,
    sample: Mapping[str, Any] | None = None,
    actor: User | None,
) -> Schedule:
    """Write a schedule down. A round under way is not touched. Raises BadSchedule."""
    for name, value in (("new labels", every_labels), ("hours", every_hours)):
        if value is not None and not 1 <= value <= LARGEST:
            raise BadSchedule(f"The number of {name} must be at least 1, not {value:,}. Leave it empty to switch the clause off.")
    if is_on and every_labels is None and every_hours is None and daily_at is None:
        raise BadSchedule("Nothing would ever start a round: give a number of labels, of hours or a time of day, or switch it off.")
    try:
        plan = rounds.RoundPlan(rounds.checked_recipe(recipe) if recipe else _default_recipe(project), train=True)
        settings = rounds.checked_sampling(sample) if sample else {}
    except rounds.RoundRefused as refused:
        raise BadSchedule(str(refused)) from refused
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(retrain_every_labels=every_labels, retrain_every_hours=every_hours)
        columns = {"is_on": is_on, "daily_at": daily_at, "recipe": plan.recipe and plan.recipe.as_dict(), "sample": settings}
        schedule, _ = Schedule.objects.update_or_create(project=project, defaults={**columns, "note": "", "noted_at": None})
        Event.objects.create(actor=actor, verb="change schedule", subject=f"project {project.slug}")
    project.refresh_from_db(fields=["retrain_every_labels", "retrain_every_hours"])
    return schedule


def _default_recipe(project: Project) -> Recipe:
    return rounds.recipe_for(project, strategy=EXPLORE_MIX.name)


def start_due_rounds() -> list[Round]:
    """Start a round in every project whose schedule is due and that has a new label since its last training."""
    started = []
    for project in Project.objects.filter(
        Q(retrain_every_labels__isnull=False) | Q(retrain_every_hours__isnull=False) | Q(schedule__daily_at__isnull=False)
    ).exclude(schedule__is_on=False):
        schedule = find(project)
        if not _is_due(project, schedule):
            continue
        try:
            recipe = rounds.checked_recipe(schedule.recipe) if schedule.recipe else _default_recipe(project)
            started.append(rounds.start(project, rounds.RoundPlan(recipe, train=True, sample=schedule.sample)))
            _note(schedule, "")
        except rounds.RoundRefused as refused:
            _note(schedule, f"A round is due and could not start. {refused}")
    return started


def next_due(project: Project) -> str:
    """Say in a sentence when the next round will start by itself."""
    schedule, last = find(project), _last(project)
    if not schedule.is_on:
        return "The schedule is off: rounds start by hand."
    clauses = []
    if every := project.retrain_every_labels:
        left = every - _new_labels(project, last)[:every].count()
        clauses.append(f"after {left:,} more labels" if left else "within a minute: there are enough new labels")
    if hours := project.retrain_every_hours:
        at = last and last.created_at + timedelta(hours=hours)
        clauses.append(f"at {at:%Y-%m-%d %H:%M} UTC" if at and at > _now() else "within a minute of the next label")
    if schedule.daily_at:
        at = datetime.combine(_now(), schedule.daily_at, tzinfo=_now().tzinfo)
        is_over = at <= _now() and not _is_due(project, schedule)
        clauses.append(f"at {at + timedelta(days=is_over):%Y-%m-%d %H:%M} UTC, if there is a new label")
    return f"The next round starts {', or '.join(clauses)}." if clauses else "Nothing starts a round by itself: only people do."


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
    """Return the last round that trained a PRM, whoever started it and however it ended."""
    return Round.objects.filter(project=project, plan__train=True, plan__kind="prm").order_by("-created_at").first()


def _new_labels(project: Project, last: Round | None) -> QuerySet[StepLabel]:
    """Return the labels a training would read that came after the last one began."""
    annotations = Annotation.objects.without_newcomers().filter(solution__problem__project=project, solution__problem__split=Split.TRAIN)
    if last:
        annotations = annotations.filter(created_at__gt=last.created_at)
    return StepLabel.objects.filter(annotation__in=annotations, rating__isnull=False)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cursor.fetchone()[0]


def _note(schedule: Schedule, note: str) -> None:
    """Keep what stands in the way, once: beat asks every minute."""
    if schedule.note == note:
        return
    if note:
        log.warning("%s: %s", schedule.project.slug, note)
    Schedule.objects.update_or_create(project=schedule.project, defaults={"note": note[:300], "noted_at": Now() if note else None})
