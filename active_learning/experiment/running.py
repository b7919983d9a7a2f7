"""Carry a plan out, point by point. Every point is a file, so a killed run continues where it stopped.

Reads a plan and the points that exist; writes HOME/NAME/plan.json, candidates/SEED.npz and points/KEY.json, each completely or not at all.
Workers are processes with one thread each: two small models at the same time are trained faster than one after the other on two cores.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import django

from active_learning.experiment import points
from active_learning.experiment.plan import ANSWER, NAME, ORACLE, PROCESS, UNIFORM, BadPlan, Plan
from active_learning.experiment.points import NOTHING, START, ModelPoint, WorldSolution
from active_learning.registry import ProgressCallback
from active_learning.selection import STRATEGIES, Need, read_candidates, write_candidates
from trainer.files import write_file

ALONE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}  # of a worker: the other cores are for other workers
PLAN, POINTS, CANDIDATES, RESULTS = "plan.json", "points", "candidates", "results.json"
_KEPT: dict[tuple[str, int | None], list[WorldSolution]] = {}  # a worker's worlds: each takes a second to make, and every point reads one


def points_of(plan: Plan) -> tuple[list[ModelPoint], list[ModelPoint]]:
    """List what must be trained: first the starts, which give the selectors, then all points that follow from their choices."""
    kinds = (PROCESS, ORACLE, ANSWER) if plan.outcomes else (PROCESS,)
    needs_orm = plan.outcomes or _needs_orm(plan)
    starts = [
        ModelPoint(seed, START, 0, kind) for seed in plan.seeds for kind in (kinds if plan.outcomes else (PROCESS, ANSWER)[: 1 + needs_orm])
    ]
    rest = [ModelPoint(seed, arm, size) for size in plan.sizes for seed in plan.seeds for arm in plan.strategies]
    rest += [ModelPoint(seed, UNIFORM, size, kind) for size in plan.sizes for seed in plan.seeds for kind in kinds if kind != PROCESS]
    return [ModelPoint(0, NOTHING, 0), *starts], rest


def _needs_orm(plan: Plan) -> bool:
    return any(Need.ORM in STRATEGIES[name].needs for parts in plan.strategies.values() for name, _ in parts)


def run(name: str, plan: Plan, *, home: Path, workers: int = 1, progress: ProgressCallback = lambda *_: None) -> Path:
    """Train and judge every point of the plan that has no file yet; return the experiment's folder. Raises BadPlan."""
    folder = opened(name, plan, home=home)
    starts, rest = points_of(plan)
    missing = [point for point in starts if not path_of(folder, point).exists()]
    unread = [seed for seed in plan.seeds if set(plan.strategies) != {UNIFORM} and not _candidates_path(folder, seed).exists()]
    todo = [point for point in rest if not path_of(folder, point).exists()]
    total, done = len(missing) + len(unread) + len(todo), 0
    with _workers(workers) as finish:
        for stage, jobs in (
            ("start", [(_train_and_judge, plan, folder, point) for point in missing]),
            ("pool", [(_read_pool, plan, folder, seed) for seed in unread]),
            ("points", [(_train_and_judge, plan, folder, point) for point in todo]),
        ):
            for _ in finish(jobs):
                done += 1
                progress(stage, done, total)
    return folder


def opened(name: str, plan: Plan, *, home: Path) -> Path:
    """Create the experiment's folder, or continue one with the same plan or a smaller part of it. Raises BadPlan."""
    folder = folder_of(name, home=home)
    if (folder / PLAN).exists():
        before = kept_plan(folder)
        if before.fingerprint != plan.fingerprint:
            raise BadPlan(
                f"The experiment {name} was started with other settings, so its points cannot be compared with new ones. Give this one "
                f"another name, or remove {folder}."
            )
    for part in (POINTS, CANDIDATES):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write(folder / PLAN, json.dumps(plan.as_dict(), indent=2) + "\n")
    return folder


def folder_of(name: str, *, home: Path) -> Path:
    """Return the folder of an experiment, whether it exists or not. Raises BadPlan for a bad name."""
    if not NAME.fullmatch(name):
        raise BadPlan(f"The name of an experiment must be up to 40 small letters, digits and hyphens, not {name!r}.")
    return home / "experiments" / name


def kept_plan(folder: Path) -> Plan:
    """Read the plan of an experiment. Raises BadPlan if the file is damaged."""
    try:
        return Plan.from_settings(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{folder / PLAN} is not a plan ({error}). Remove the folder and start again.") from error


def point_of(folder: Path, point: ModelPoint) -> dict[str, Any]:
    """Read the results of a point."""
    return json.loads(path_of(folder, point).read_text(encoding="utf-8"))


def write(path: Path, text: str) -> None:
    """Write a file as a whole: a killed run leaves the old one or the new one."""
    with write_file(path, overwrite=True) as file:
        file.write(text.encode())


def path_of(folder: Path, point: ModelPoint) -> Path:
    """Return the path of a point's file, whether it exists or not."""
    return folder / POINTS / f"{point.key}.json"


def _candidates_path(folder: Path, seed: int) -> Path:
    return folder / CANDIDATES / f"{seed}.npz"


# --- what a worker does -------------------------------------------------------------------------------------------------------


def _train_and_judge(plan: Plan, folder: Path, point: ModelPoint) -> None:
    """Train and judge one point, and write its results: all that a figure needs, and what it was trained on."""
    began, solutions, tested = time.monotonic(), _pool(plan, point.seed), _tested(plan)
    if point.arm == NOTHING:
        learned, model = [], points.untrained(plan, solutions[: plan.n_start])
    else:
        needs_figures = point.size and point.arm != UNIFORM
        known = read_candidates(_candidates_path(folder, point.seed)) if needs_figures else points.unscored(plan, solutions)
        learned = points.chosen(plan, point, solutions, known=known)
        model = points.train_point(plan, point, learned)
    trained = time.monotonic()
    results = points.judge(model, tested, n=plan.n_best)
    results |= {"n_labeled": len(learned), "seconds": [round(trained - began, 1), round(time.monotonic() - trained, 1)]}
    results |= {"learned": points.summary_of(learned[plan.n_start :])}
    write(path_of(folder, point), json.dumps(results) + "\n")


def _read_pool(plan: Plan, folder: Path, seed: int) -> None:
    """Let the selector score the pool, and write the candidates for the strategies."""
    solutions = _pool(plan, seed)
    start = solutions[: plan.n_start]
    prm = points.train_point(plan, ModelPoint(seed, START, 0), start)
    orm = points.train_point(plan, ModelPoint(seed, START, 0, ANSWER), start) if _needs_orm(plan) else None
    write_candidates(_candidates_path(folder, seed), points.candidates(plan, solutions, prm=prm, orm=orm))


def _pool(plan: Plan, seed: int) -> list[WorldSolution]:
    key = (plan.fingerprint, seed)
    if key not in _KEPT:
        _KEPT[key] = points.pool(plan, seed)
    return _KEPT[key]


def _tested(plan: Plan) -> list[WorldSolution]:
    key = (plan.fingerprint, None)
    if key not in _KEPT:
        _KEPT[key] = points.test_solutions(plan)
    return _KEPT[key]


@contextmanager
def _workers(n: int) -> Iterator[Callable[[Iterable[tuple[Any, ...]]], Iterator[None]]]:
    """Give a function that runs jobs, here or in n processes, and yields as each is done. An error ends all of them."""
    if n == 1:
        yield lambda jobs: (job(*arguments) for job, *arguments in jobs)
        return
    before = {name: os.environ.get(name) for name in ALONE}
    os.environ |= ALONE  # read when a worker imports torch; the imported stages need Django
    try:
        with ProcessPoolExecutor(n, mp_context=get_context("spawn"), initializer=django.setup) as processes:

            def finish(jobs: Iterable[tuple[Any, ...]]) -> Iterator[None]:
                for future in as_completed([processes.submit(*job) for job in jobs]):
                    yield future.result()

            try:
                yield finish
            except BaseException:
                processes.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
