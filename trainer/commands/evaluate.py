"""Command: judge a trained model on problems it was not trained on, by labeled solutions, by graded samples, or by both.

Reads JSON lines: `--labeled` as `train` does, `--samples` with `right` and `answer` besides; writes one JSON report on standard output.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import LabeledSolution, Solution
from trainer.evaluate import (
    AGGREGATES,
    Judged,
    Samples,
    best_of_n,
    check_apart,
    counts_to,
    difficulty_quintiles,
    evaluate_groups,
    evaluate_steps,
)
from trainer.lines import BadLine, progress_bar, read_solutions
from trainer.progress import Progress

if TYPE_CHECKING:
    from trainer.model import RewardModel

Listener = Callable[[Progress], None]
OTHERS = "Give solutions of other problems."


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `evaluate`."""
    one = commands.add_parser("evaluate", help="judge a model by labeled solutions, by best-of-N, or by both")
    one.add_argument("--model", type=Path, required=True, help="folder of a process reward model")
    one.add_argument("--labeled", type=Path, help="JSON lines with ratings: figures of the steps")
    one.add_argument("--samples", type=Path, help="JSON lines with right and answer: best-of-N")
    one.add_argument("--orm", type=Path, help="folder of an outcome reward model, to be set beside the model in best-of-N")
    one.add_argument("--best-of", type=int, metavar="N", help="largest N; problems with fewer samples are left out (default: none is)")
    one.add_argument("--by-subject", action="store_const", dest="by", const="subject", help="add a table by the subject of each line")
    one.add_argument("--by-source", action="store_const", dest="by", const="source", help="add a table by the source of each line")
    one.add_argument("--seed", type=int, default=0, help="of the bootstrap, and of the draws of a vote")
    one.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Print a report on the solutions whose problems none of the models was trained on."""
    from trainer.train import judge_solutions

    if not options.labeled and not options.samples:
        raise BadLine("There is nothing to judge by. Give --labeled, --samples or both.")
    if options.orm and not options.samples:
        raise BadLine("An outcome reward model says nothing of steps. Give --samples with --orm.")
    if options.best_of is not None and options.best_of < 1:
        raise BadLine(f"--best-of is a number of samples, at least 1, not {options.best_of}.")
    model, training, held_out = load(options.model, kind="prm")
    models, trained_on = {"PRM": model}, training
    if options.orm:
        models["ORM"], training_of_orm, _ = load(options.orm, kind="orm")
        trained_on = training | training_of_orm
    groups: dict[str, str] = {}
    judged: list[Judged] = []
    problems: list[Samples] = []
    threshold: float | None = model.threshold
    report: dict[str, Any] = {}
    with progress_bar() as listen:
        if options.labeled:
            rated = [one for one, _, _ in read(options.labeled, by=options.by, groups=groups) if one.n_rated]
            unseen = [one for one in rated if one.solution.problem_key not in training]
            if not unseen:
                raise BadLine(f"{options.labeled}: the model was trained on the problems of all its {len(rated)} rated solutions. {OTHERS}")
            judged = judge_solutions(model, unseen, progress=listen)
            if not held_out.isdisjoint(one.problem_key for one in judged):
                threshold = None  # the model's own was chosen on these very problems
            split = "the model's held-out problems, of which none is here"
            steps = evaluate_steps(judged, base_rates=model.base_rates, threshold=threshold, threshold_split=split, trained_on=training)
            report |= {"left_out_as_trained_on": len(rated) - len(unseen)} | steps.as_dict()
        if options.samples:
            problems, told = gather(
                options.samples, models, trained_on=trained_on, at_least=options.best_of or 1, by=options.by, groups=groups, listen=listen
            )
            report |= told | choices(problems, best_of=options.best_of, seed=options.seed)
    if options.by and not groups:
        raise BadLine(f"No line has a {options.by}. Add one to each line, or leave out --by-{options.by}.")
    tables = ({"by_difficulty": difficulty_quintiles(problems)} if problems else {}) | ({f"by_{options.by}": groups} if options.by else {})
    problems = [replace(one, scores={name: one.scores[name] for name in models}) for one in problems]  # without the other aggregates
    for name, mapping in tables.items():
        mine = [one for one in judged if name != "by_difficulty" or one.problem_key in mapping]
        rows = evaluate_groups(mapping, judged=mine, problems=problems, base_rates=model.base_rates, threshold=threshold, seed=options.seed)
        report[name] = {group: row.as_dict() for group, row in rows.items()}
    print(json.dumps(report, indent=2, ensure_ascii=False))


def load(folder: Path, *, kind: str) -> "tuple[RewardModel, frozenset[str], frozenset[str]]":
    """Load a model of this kind and the keys of the problems it was trained on and of those it held out."""
    from trainer.folders import SPLIT_FILE
    from trainer.score import load_prm

    model = load_prm(folder)
    if model.kind != kind:
        options = {"prm": "--model takes a process reward model", "orm": "--orm takes an outcome reward model"}
        raise BadLine(f"{folder} holds a reward model of kind {model.kind}, but {options[kind]}. Give the folder of one.")
    split = json.loads((folder / SPLIT_FILE).read_text(encoding="utf-8"))
    return model, frozenset(split["training"]), frozenset(split["held_out"])


def read(path: Path, *, by: str | None, groups: dict[str, str]) -> Iterator[tuple[LabeledSolution, int, dict[str, Any]]]:
    """Yield each line as a labeled solution, its number and its keys; note the group of its problem in `groups`. Raises BadLine."""
    with path.open("rb") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        for one, (number, line) in zip(read_solutions(path), numbered, strict=True):
            fields = json.loads(line)  # `read_solutions` found it sound
            key = one.solution.problem_key
            if by and fields.get(by) is not None and groups.setdefault(key, str(fields[by])) != str(fields[by]):
                raise BadLine(
                    f"{path}, line {number}: the problem {key!r} has the {by} {fields[by]!r} here and {groups[key]!r} before. "
                    "A problem is in one group with all its solutions: make them one."
                )
            yield one, number, fields


def read_samples(path: Path, *, by: str | None = None, groups: dict[str, str] | None = None) -> Iterator[tuple[Solution, bool, str | None]]:
    """Yield each line as a solution, whether its final answer is right, and that answer (None: it gives none). Raises BadLine."""
    for one, number, fields in read(path, by=by, groups={} if groups is None else groups):
        for name, types, remedy in (
            ("right", bool, "true or false: whether the final answer is the reference answer"),
            ("answer", str | None, "the text of the final answer, or null where there is none"),
        ):
            if name not in fields or not isinstance(fields[name], types):
                raise BadLine(f"{path}, line {number}: {name} must be {remedy}.")
        yield one.solution, fields["right"], fields["answer"]


def gather(
    path: Path,
    models: "Mapping[str, RewardModel]",
    *,
    trained_on: frozenset[str],
    at_least: int,
    by: str | None,
    groups: dict[str, str],
    listen: Listener,
) -> tuple[list[Samples], dict[str, int]]:
    """Score the samples of a file with each model and gather them by problem; tell how many were left out and why. Raises BadLine."""
    told, n_seen = [], 0
    for one, right, answer in read_samples(path, by=by, groups=groups):
        if one.problem_key in trained_on:
            n_seen += 1
        else:
            told.append((one.problem_key, right, answer))
    scores: dict[str, NDArray[np.float64]] = {}
    for name, model in models.items():  # read anew for each: the texts of a million samples are never in memory
        unseen = (one for one, _, _ in read_samples(path) if one.problem_key not in trained_on)
        scores |= score(name, model, unseen, total=len(told), listen=listen)
    problems, n_small = by_problem(told, scores, at_least=at_least)
    if not problems:
        raise BadLine(f"{path}: no problem that no model was trained on has at least {at_least} samples. {OTHERS}")
    check_apart((one.problem_key for one in problems), trained_on=trained_on)
    return problems, {"samples_left_out_as_trained_on": n_seen, "problems_left_out_with_too_few_samples": n_small}


def score(
    name: str, model: "RewardModel", solutions: Iterable[Solution], *, total: int, listen: Listener
) -> dict[str, NDArray[np.float64]]:
    """Score the solutions, those of the PRM by all eight aggregates besides: (total,) for each name."""
    from trainer.score import score_solutions

    scores: dict[str, list[float]] = defaultdict(list)
    for one in score_solutions(model, solutions, total=total, progress=listen):
        scores[name].append(one.score)
        for way, aggregate in AGGREGATES.items() if name == "PRM" else ():
            scores[way].append(aggregate(one.probabilities, unread_steps=one.unread_steps))
    return {way: np.array(values) for way, values in scores.items()}


def by_problem(
    told: Sequence[tuple[str, bool, str | None]], scores: Mapping[str, NDArray[np.float64]], *, at_least: int
) -> tuple[list[Samples], int]:
    """Gather the samples of each problem; count the problems left out because they have fewer than `at_least`.

    Answers of one problem with the same text, blanks aside, are one class.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, (key, _, _) in enumerate(told):
        places[key].append(place)
    problems = []
    for key, mine in places.items():
        if len(mine) >= at_least:
            answers = [None if (said := told[i][2]) is None else " ".join(said.split()) for i in mine]
            classes = {answer: number for number, answer in enumerate(dict.fromkeys(a for a in answers if a is not None))}
            right = np.array([told[i][1] for i in mine])
            votes = np.array([-1 if answer is None else classes[answer] for answer in answers])
            problems.append(Samples(key, right, votes, {name: values[mine] for name, values in scores.items()}))
    return problems, len(places) - len(problems)


def choices(problems: Sequence[Samples], *, best_of: int | None, seed: int) -> dict[str, Any]:
    """Report best-of-N curves, and the eight aggregates at the largest N."""
    ns = counts_to(best_of or min(len(one.right) for one in problems))
    whole = best_of_n(problems, ns=ns, seed=seed).as_dict()
    curves = whole.pop("curves")
    return {
        "best_of_n": whole | {"curves": {name: curve for name, curve in curves.items() if name not in AGGREGATES}},
        "aggregates": {"n": ns[-1]} | {name: {part: values[-1] for part, values in curves[name].items()} for name in AGGREGATES},
    }
