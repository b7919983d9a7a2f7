"""A project with a screening, and newcomers who answer it rightly or not."""

import uuid

from django.contrib.auth.models import User

from annotation import labels, quality, queue
from annotation.models import Annotation, BatchKind, GoldAnswer, Project, Task
from tests import make

SIZE = 4


def submit(lease: queue.Lease, labeler: User, first_mistake: int | None) -> None:
    """Rate a solution of three steps up to its first mistake."""
    ratings = [1] * 3 if first_mistake is None else [1] * first_mistake + [-1]
    labels.submit(
        lease.assignment_id, labeler=labeler, token=lease.token, submission_id=uuid.uuid4(), active_ms=60_000, total_ms=60_000,
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(ratings)],
        finish_reason="solution" if first_mistake is None else "found_error",
    )  # fmt: skip


def screened_project() -> Project:
    """Rolf saw a mistake in the second step of ten solutions. Four of them are the screening; ten others wait as work."""
    made = make.project(qualify_rate=0.75)
    rolf = make.rolf(made)
    make.batch(made, make.solutions(made, 10))
    for _ in range(10):
        submit(queue.lease_next(rolf, project=made), rolf, 1)
    make.batch(made, make.solutions(made, 10))
    quality.open_screening(made, by="rolf", size=SIZE)
    make.olga(made)
    return made


def answer(project: Project, labeler: User, *, right: int, of: int = SIZE) -> set[int]:
    """Answer the screening, and return the solutions."""
    asked = set()
    for number in range(of):
        lease = quality.lease_next(labeler, project=project)
        assert lease.kind == BatchKind.SCREENING
        asked.add(lease.solution_id)
        submit(lease, labeler, 1 if number < right else None)
    return asked


def more_gold(project: Project, count: int) -> None:
    """Make gold of solutions that rolf labeled and that no newcomer gets."""
    used = Task.objects.filter(batch__kind="screening").values("solution")
    own = Annotation.objects.filter(labeler__username="rolf").exclude(solution__in=used)
    for annotation in own.order_by("pk")[:count]:
        GoldAnswer.objects.create(solution=annotation.solution, acceptable_first_errors=[1])


def failed(project: Project, name: str = "ann") -> User:
    person = make.person(name, project)
    answer(project, person, right=0)
    return person
