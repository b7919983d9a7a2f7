"""Plain functions that build what a test needs. The people are always the same: ann and ben label, olga owns,
rita researches, eve is a stranger."""

import itertools
import threading
from collections.abc import Callable

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection

from annotation.ingest import digest
from annotation.models import Batch, Membership, Problem, Project, Role, Solution

_numbers = itertools.count(1)


def person(name: str, project: Project | None = None, role: str = Role.LABELER) -> User:
    user, _ = get_user_model().objects.get_or_create(username=name, defaults={"email": f"{name}@example.org"})
    if project:
        Membership.objects.get_or_create(project=project, user=user, defaults={"role": role})
    return user


def ann(project: Project | None = None) -> User:
    return person("ann", project)


def ben(project: Project | None = None) -> User:
    return person("ben", project)


def olga(project: Project | None = None) -> User:
    return person("olga", project, Role.OWNER)


def rita(project: Project | None = None) -> User:
    return person("rita", project, Role.RESEARCHER)


def eve() -> User:
    return person("eve")


def project(slug: str = "sums", **fields: object) -> Project:
    return Project.objects.create(slug=slug, **{"name": slug.title(), **fields})


def problem(of: Project, **fields: object) -> Problem:
    number = next(_numbers)
    return Problem.objects.create(
        project=of, **{"external_id": f"p{number}", "statement": f"What is {number} + {number}?", "answer": str(2 * number), **fields}
    )


def solution(of: Problem, steps: list[str] | None = None, **fields: object) -> Solution:
    number = next(_numbers)
    steps = steps or [f"We add the numbers, way {number}.", f"The sum is {number}.", f"So it is {number}.\n\n# Answer\n\n{number}"]
    return Solution.objects.create(
        problem=of, **{"steps": steps, "digest": digest(steps), "final_answer": str(number), "outcome": "wrong", **fields}
    )


def solutions(of: Project, count: int, **fields: object) -> list[Solution]:
    return [solution(problem(of), **fields) for _ in range(count)]


def batch(of: Project, chosen: list[Solution], **options: object) -> Batch:
    """Publish a batch through the queue itself."""
    from annotation import queue

    return queue.open_batch(of, [queue.Chosen(solution_id=one.pk) for one in chosen], **options)


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """Do all acts at the same time, each in a thread of its own; return what each returned, or raised."""
    barrier, outcomes = threading.Barrier(len(acts)), [None] * len(acts)

    def act(place: int) -> None:
        barrier.wait(60)
        try:
            outcomes[place] = acts[place]()
        except Exception as error:
            outcomes[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
