"""Stage: projects, deleting. A project without labels can be deleted, with all that was loaded into it. Its events stay."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.models import Model, QuerySet
from psycopg.errors import LockNotAvailable

from annotation import happenings
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    DataOrder,
    Draft,
    Event,
    Flag,
    GoldAnswer,
    Import,
    ImportState,
    Membership,
    Message,
    Notification,
    Problem,
    Project,
    ProjectConsensus,
    Snapshot,
    Solution,
    SolutionConsensus,
    StepAlternative,
    StepConsensus,
    Task,
    Watch,
)
from annotation.projects.settings import has_labels


class CannotDelete(ValueError):
    """A project that cannot be deleted. The message says why and what to do. Nothing was changed."""


class WrongName(CannotDelete):
    """The name that was typed is not the project's."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes with a project."""

    problems: int
    solutions: int
    batches: int
    members: int


def contents_of(project: Project) -> Contents:
    """Count what a deletion would remove. Raises CannotDelete: the project has labels."""
    _refuse_labels(project)
    return Contents(
        problems=Problem.objects.filter(project=project).count(),
        solutions=Solution.objects.filter(problem__project=project).count(),
        batches=Batch.objects.filter(project=project).count(),
        members=Membership.objects.filter(project=project).count(),
    )


def delete_project(project: Project, *, name: str, actor: User | None) -> Contents:
    """Delete a project that has no labels: problems, solutions, batches, memberships, messages, and its files. `name`: typed again.

    Raises CannotDelete: another name, labels, work in hand, or a round that runs.
    """
    try:
        with transaction.atomic():
            return _delete(project, name=name, actor=actor)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise CannotDelete(
            "Another process is writing to this project, such as a load of a file. Wait until it ends and try again. Nothing was changed."
        ) from error


def _delete(project: Project, *, name: str, actor: User | None) -> Contents:
    locked = Project.objects.select_for_update().filter(pk=project.pk).first()
    if locked is None:
        raise CannotDelete("This project is deleted already.")
    if name.strip() != locked.name.strip():
        raise WrongName(f"This is not the name of the project. Write “{locked.name}”, as it stands above.")
    contents = contents_of(locked)
    imports = Import.objects.filter(project=locked)
    if imports.filter(state__in=[ImportState.CHECKING, ImportState.LOADING]).exists():
        raise CannotDelete("A file of this project is being checked or loaded. Cancel that on the page Data first.")
    for path in imports.values_list("path", flat=True):
        transaction.on_commit(partial((Path(settings.STEPMARK_HOME) / path).unlink, missing_ok=True))
    imports.delete()
    happenings.project_deleted.send(Project, project=locked)
    batches, solutions = Batch.objects.filter(project=locked), Solution.objects.filter(problem__project=locked)
    assignments = Assignment.objects.filter(batch__in=batches)
    list(assignments.order_by("pk").select_for_update().values_list("pk", flat=True))  # a submit that has begun ends first
    _refuse_labels(locked)
    for rows in (
        Draft.objects.filter(assignment__in=assignments),
        assignments,
        Task.objects.filter(batch__in=batches),
        batches,
        GoldAnswer.objects.filter(solution__in=solutions),
        StepAlternative.objects.filter(solution__in=solutions),
        StepConsensus.objects.filter(solution__in=solutions),
        SolutionConsensus.objects.filter(solution__in=solutions),
        ProjectConsensus.objects.filter(project=locked),
        solutions,
        Problem.objects.filter(project=locked),
        Message.objects.filter(project=locked),
        Notification.objects.filter(project=locked),
        Flag.objects.filter(project=locked),
        Watch.objects.filter(project=locked),
        Membership.objects.filter(project=locked),
        DataOrder.objects.filter(project=locked),  # without files: there is no snapshot
    ):
        _remove(rows)
    Event.objects.create(
        actor=actor,
        project=locked,
        verb="delete project",
        subject=f"project {locked.slug}",
        details={"name": locked.name, "problems": contents.problems, "solutions": contents.solutions, "batches": contents.batches},
    )
    Project.objects.filter(pk=locked.pk).delete()
    return contents


def _refuse_labels(project: Project) -> None:
    if (
        has_labels(project)
        or Snapshot.objects.filter(project=project).exists()
        or Annotation.objects.filter(assignment__batch__project=project).exists()
    ):
        raise CannotDelete("This project has labels, and labels are never deleted. Archive it instead.")


def _remove(rows: "QuerySet[Model]") -> None:
    """Delete rows in one statement. Django would read all of them first; the database has the rules that matter."""
    rows._raw_delete(rows.db)
