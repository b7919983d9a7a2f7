"""Part of the experiment: carry out a plan, point by point. Every point is a file, so a killed run continues where it stopped.

Reads the plan and the points that exist. Writes plan.json, candidates/SEED-HASH.npz and points/KEY.json under
STEPMARK_HOME/experiments/NAME, each file completely or not at all. Each point says what it was made of (origins.py). Workers are processes
with one thread each: two small models at the same time train faster than one model on two cores.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import django

from active_learning.experiment import origins, points, protocol
from active_learning.experiment.bases import make_base
from active_learning.experiment.plan import ANSWER, FEW, NAME, ORACLE, POOL, PROCESS, START, UNIFORM, BadPlan, Plan, short_name
from active_learning.experiment.points import TrainingPoint, WorldSolution, arm_in
from active_learning.experiment.protocol import POINTS
from active_learning.registry import ProgressCallback
from active_learning.selection import Need, read_candidates, write_candidates
from trainer.files import write_file

# The environment of a worker process. It uses one thread, because the other workers use the other cores.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
PLAN, CANDIDATES, RESULTS = "plan.json", "candidates", "results.json"
OWNER = "project.txt"  # the key of the project whose people see the experiment
# The worlds that this process has made. Making one takes a second, and every point reads it. The key is (fingerprint, seed), with the seed
# None for the test problems.
_WORLDS: dict[tuple[str, int | None], list[WorldSolution]] = {}

Job = tuple[Any, ...]  # a function and its arguments


def all_points(plan: Plan) -> tuple[list[TrainingPoint], list[TrainingPoint]]:
    """List what must be trained: first the starts (the selectors among them), then the points that depend on the selectors' choices."""
    kinds = (PROCESS, ORACLE, ANSWER) if plan.outcomes else (PROCESS,)
    starts = [TrainingPoint(seed, START, 0, kind) for seed in plan.seeds for kind in kinds]
    starts += [TrainingPoint(seed, FEW, 0) for seed in plan.seeds]
    if plan.outcomes:
        starts += [TrainingPoint(seed, POOL, 0, ANSWER) for seed in plan.seeds]
    rest = [TrainingPoint(seed, arm, size) for size in plan.sizes for seed in plan.seeds for arm in plan.strategies]
    rest += [TrainingPoint(seed, UNIFORM, size, kind) for size in plan.sizes for seed in plan.seeds for kind in kinds if kind != PROCESS]
    return starts, rest


def run(
    name: str, plan: Plan, *, home: Path, project: int | None = None, workers: int = 1, progress: ProgressCallback = lambda *_: None
) -> Path:
    """Train and judge every point of the plan that has no file yet. Return the folder of the experiment.

    Raises BadPlan, and leaves all files as they are, if any point in the folder was made of something else: another recipe, other code. A
    plan whose points are all there stays readable with other code, if they all have one origin.
    `project` is the key of the project whose people see it. None: it stays as it was; of a new experiment, only superusers see it.
    """
    folder = folder_of(name, home=home)
    starts, rest = all_points(plan)
    held = origins.read_origins(folder)  # of all models, because a later plan may draw them beside those of this one
    own = {point.key: held[point.key] for point in (*starts, *rest) if point.key in held}
    is_whole = len(own) == len(starts) + len(rest)
    if is_whole:
        _refuse_mixing(folder, plan, own, parts=("settings", "recipe"))
        origins.check_one(folder, own)
    elif held:
        _refuse_mixing(folder, plan, held, parts=("settings", "recipe", "code"))
    if held:
        protocol.keep(plan, folder)  # which refuses a folder without one
    else:
        open_folder(name, plan, home=home)  # the page shows it while its base is made
    base = ""
    if (undrilled := plan.base()) is not None and not is_whole:
        made = make_base(undrilled, home=home, tick=lambda done, total: progress("base", done, total))
        base = origins.hash_of_folder(made)
        _refuse_mixing(folder, plan, held, parts=("base",), base=base)
    open_folder(name, plan, home=home)
    if project is not None:
        write_text(folder / OWNER, f"{project}\n")
    if is_whole:
        return folder
    missing, todo = ([point for point in some if point.key not in own] for some in (starts, rest))
    mark = origins.mark_of_candidates(plan, base=base)
    pools = {seed: folder / CANDIDATES / f"{seed}-{mark}.npz" for seed in plan.seeds}
    choosing = sorted({point.seed for point in todo if point.arm != UNIFORM})
    unscored = [seed for seed in choosing if not pools[seed].exists()]
    total, done = len(missing) + len(unscored) + len(todo), 0
    with _workers(workers) as finish:
        stages: tuple[tuple[str, list[Job]], ...] = (
            ("start", [(_train_and_judge, plan, folder, point, base, pools[point.seed]) for point in missing]),
            ("pool", [(_score_pool, plan, folder, seed, pools[seed]) for seed in unscored]),
            ("points", [(_train_and_judge, plan, folder, point, base, pools[point.seed]) for point in todo]),
        )
        for stage, jobs in stages:
            for _ in finish(jobs):
                done += 1
                progress(stage, done, total)
    return folder


def _refuse_mixing(folder: Path, plan: Plan, held: Mapping[str, origins.Origin | None], *, parts: Sequence[str], base: str = "") -> None:
    """Raise BadPlan if models that are there differ in one of these parts from what the plan makes now. held: key -> origin.

    Models of an earlier release (None) name no parts: their settings and recipes are those of the plan in their folder. A model
    whose arm is not in the plan has no recipe to compare.
    """
    before, remedy = read_plan(folder), f"Choose another name for this one, or remove {folder}."
    if "code" in parts and (unnoted := sum(found is None for found in held.values())):
        raise BadPlan(
            f"An earlier release trained the {unnoted} models that the experiment {folder.name} has, and did not note of what. "
            f"No model can be added to them. {remedy}"
        )
    arms = {short_name(arm): arm for arm in (START, FEW, POOL, *plan.strategies)}
    for key, found in held.items():
        arm = arms.get(arm_in(key))
        if found is None:
            found = {part: value for part, value in origins.origin(before, arm or "", base="").items() if part in ("settings", "recipe")}
        for part in origins.differing(found, origins.origin(plan, arm or "", base=base)):
            if part in parts and (part != "recipe" or arm is not None):
                raise BadPlan(
                    f"Models that the experiment {folder.name} has ({key} is one) {origins.WORDS[part]}. They cannot be compared "
                    f"with new ones. {remedy}"
                )


def open_folder(name: str, plan: Plan, *, home: Path) -> Path:
    """Make the folder of the experiment, or reuse one that holds the same plan or a smaller version of it. Raises BadPlan."""
    folder = folder_of(name, home=home)
    if (folder / PLAN).exists() and read_plan(folder).fingerprint != plan.fingerprint:
        raise BadPlan(
            f"The experiment {name} was started with other settings. Its models cannot be compared with new ones. Choose another name for "
            f"this one, or remove {folder}."
        )
    for part in (POINTS, CANDIDATES):
        (folder / part).mkdir(parents=True, exist_ok=True)
    protocol.keep(plan, folder)
    write_text(folder / PLAN, json.dumps(plan.as_dict(), indent=2) + "\n")
    return folder


def folder_of(name: str, *, home: Path) -> Path:
    """Return the folder of an experiment, which may not exist yet. Raises BadPlan if the name cannot be used."""
    if not NAME.fullmatch(name):
        raise BadPlan(f"The name of an experiment has up to 40 small letters, digits and hyphens. {name!r} cannot be used.")
    return home / "experiments" / name


def read_plan(folder: Path) -> Plan:
    """Read the plan of an experiment. Raises BadPlan if the file is damaged."""
    try:
        return Plan.from_settings(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{folder / PLAN} is not a valid plan ({error}). Remove the folder and start again.") from error


def read_point(folder: Path, point: TrainingPoint) -> dict[str, Any]:
    """Read the figures of a point. Raises BadPlan if the file is damaged."""
    return origins.read_figures(point_path(folder, point))


def write_text(path: Path, text: str) -> None:
    """Write a whole file: a killed run leaves the old one or the new one."""
    with write_file(path, overwrite=True) as file:
        file.write(text.encode())


def point_path(folder: Path, point: TrainingPoint) -> Path:
    """Return the path of a point's file, which may not exist yet."""
    return folder / POINTS / f"{point.key}.json"


# --- what a worker does -------------------------------------------------------------------------------------------------------


def _train_and_judge(plan: Plan, folder: Path, point: TrainingPoint, base: str, pool: Path) -> None:
    """Train one point. Write all its figures, what it was trained on, and what it was made of. pool: the file of the candidates."""
    began, solutions, tested = time.monotonic(), _pool(plan, point.seed), _test_solutions(plan)
    if point.arm == POOL:
        learned = solutions
    elif point.arm == FEW:
        learned = points.few_solutions(solutions)
    else:
        needs_scores = point.size and point.arm != UNIFORM
        candidates = read_candidates(pool) if needs_scores else points.unscored_candidates(plan, solutions)
        learned = points.choose_solutions(plan, point, solutions, candidates=candidates)
    model = points.train_point(plan, point, learned, home=_home_of(folder))
    trained = time.monotonic()
    figures = points.judge(model, tested, n=plan.n_best)
    figures |= {"n_labeled": len(learned), "seconds": [round(trained - began, 1), round(time.monotonic() - trained, 1)]}
    figures |= {"learned": points.count_solutions(learned[plan.n_start :]), "cost": points.cost(plan, learned)}
    figures["made_of"] = origins.origin(plan, point.arm, base=base)
    write_text(point_path(folder, point), json.dumps(figures) + "\n")


def _score_pool(plan: Plan, folder: Path, seed: int, pool: Path) -> None:
    """Let the selector score the pool, and write what the strategies can know of it. Raises BadPlan if a strategy finds too few there."""
    solutions, home = _pool(plan, seed), _home_of(folder)
    prm = points.train_point(plan, TrainingPoint(seed, START, 0), solutions[: plan.n_start], home=home)
    orm = points.train_point(plan, TrainingPoint(seed, POOL, 0, ANSWER), solutions, home=home) if plan.needs(Need.ORM) else None
    candidates = points.score_candidates(plan, solutions, prm=prm, orm=orm)
    for arm in plan.strategies:  # before hours of training
        points.choose_solutions(plan, TrainingPoint(seed, arm, plan.sizes[-1]), solutions, candidates=candidates)
    write_candidates(pool, candidates)


def _home_of(folder: Path) -> Path:
    return folder.parent.parent


def _pool(plan: Plan, seed: int) -> list[WorldSolution]:
    key = (plan.fingerprint, seed)
    if key not in _WORLDS:
        _WORLDS[key] = points.make_pool(plan, seed)
    return _WORLDS[key]


def _test_solutions(plan: Plan) -> list[WorldSolution]:
    key = (plan.fingerprint, None)
    if key not in _WORLDS:
        _WORLDS[key] = points.make_test_solutions(plan)
    return _WORLDS[key]


@contextmanager
def _workers(n: int) -> Iterator[Callable[[Iterable[Job]], Iterator[None]]]:
    """Give a function that runs jobs, in this process or in n others, and yields after each. An error ends all of them."""
    if n == 1:
        yield lambda jobs: (function(*arguments) for function, *arguments in jobs)
        return
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ |= WORKER_ENVIRONMENT  # a worker reads it when it imports torch
    try:
        # The workers need django.setup for the stages that they import.
        with ProcessPoolExecutor(n, mp_context=get_context("spawn"), initializer=django.setup) as processes:

            def finish(jobs: Iterable[Job]) -> Iterator[None]:
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
