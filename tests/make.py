"""Plain functions that build what a test needs. The people are always the same: ann and ben label, rolf reviews, olga owns,
rita researches, eve is a stranger."""

import itertools
import threading
from collections.abc import Callable
from inspect import signature
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from active_learning import rounds
from active_learning.models import ModelVersion, Round, Selection
from active_learning.rounds import RoundPlan
from annotation.ingest import digest
from annotation.models import Batch, Membership, Problem, Project, Role, Solution
from tests.waiting import PATIENCE

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


def rolf(project: Project | None = None) -> User:
    return person("rolf", project, Role.REVIEWER)


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


def version(of: Project, number: int, **fields: object) -> ModelVersion:
    """Put a trained reward model into the table; no files belong to it."""
    metrics = {"step_auc": 0.8, "log_loss": 0.4, "base_rate_log_loss": 0.5, "first_mistake": {"f1": 0.3}, "threshold": 0.5}
    told = {"base": "tiny", "state": "ready", "sha256": "ab" * 32, "ready_at": Now(), "metrics": metrics}
    return ModelVersion.objects.create(project=of, number=number, **(told | fields))


def score_table(of: ModelVersion) -> str:
    """Make the table that holds the scores of a version, and return its name."""
    name = f"active_learning_score_{of.pk}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} PARTITION OF active_learning_score FOR VALUES IN ({of.pk})")
    return name


def round_of(of: Project, chosen: dict[str, list[Solution]], *, generation: int = 0, state: str = "published", **fields: object) -> Round:
    """Make a round that chose solutions, by part, each step of them right with 0.9, 0.4, 0.9; a published one opens their batch."""
    parts = [[name, len(those) / sum(map(len, chosen.values()))] for name, those in chosen.items()]
    size = sum(map(len, chosen.values()))
    recipe = {"parts": parts, "size": size, "per_problem": 2, "is_diverse": False, "is_stratified": False}
    written = {"recipe": recipe, "train": True} | fields.pop("plan", {})
    solutions = [(one, part) for part, those in chosen.items() for one in those]
    opened = batch(of, [one for one, _ in solutions], generation=generation) if state == "published" else None
    strategy = parts[0][0] if len(parts) == 1 else "mix"
    made = Round.objects.create(project=of, generation=generation, strategy=strategy, plan=written, state=state, batch=opened, **fields)
    Selection.objects.bulk_create(
        Selection(round=made, solution=one, rank=rank, part=part, score=0.324, step_scores=[0.9, 0.4, 0.9], reason=f"taken by {part}")
        for rank, (one, part) in enumerate(solutions, start=1)
    )
    return made


def plan(of: Project, **options: Any) -> RoundPlan:
    """Make the plan of a round. The options of a recipe go into one: of convincing wrong answers, unless they say something else."""
    names = (signature(rounds.recipe_for).parameters.keys() - {"project"}) & options.keys()
    settings = {name: options.pop(name) for name in names}
    recipe = rounds.recipe_for(of, **settings) if settings or options.get("kind") != "orm" else None
    return RoundPlan(recipe, **options)


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """Do all acts at the same time, each in a thread of its own; return what each returned, or raised."""
    barrier, outcomes = threading.Barrier(len(acts)), [None] * len(acts)

    def act(place: int) -> None:
        barrier.wait(PATIENCE)
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


def n_waiting() -> int:
    """Count the sessions of this database that wait for a lock. Not by pg_stat_activity, which stands still inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        count: int = cursor.fetchone()[0]
    return count


def statistics() -> None:
    """Read the statistics of the tables, as the server does by itself: it sees no rows of an open transaction, and plans for empty tables.

    Of these tables only: a bare ANALYZE also locks the catalogs that all databases of the server share, until a test's transaction ends.
    """
    with connection.cursor() as cursor:
        tables = ", ".join(connection.ops.quote_name(name) for name in connection.introspection.table_names(cursor))
        cursor.execute(f"ANALYZE {tables}")
