"""Command: judge a trained model on problems it was not trained on, by labeled solutions, by graded samples, or by both.

Reads solutions: `--labeled` as `train` does. Those of `--samples` also need `right` and `answer`; in a public format they are graded here.
Writes one JSON report to standard output.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.answers import group_answers
from trainer.cautions import cautions
from trainer.counting import counted
from trainer.data import SolutionText
from trainer.evaluate import (
    AGGREGATES,
    Judged,
    Samples,
    best_of_n,
    check_apart,
    counts_to,
    cross_fitted_thresholds,
    difficulty_quintiles,
    evaluate_groups,
    evaluate_steps,
    first_mistake_interval,
)
from trainer.formats import place_in_words
from trainer.lines import (
    BadInput,
    Say,
    SolutionLine,
    add_format_option,
    progress_bar,
    read_graded_lines,
    read_solution_lines,
    read_solutions,
    say_on_stderr,
    with_ratings,
)
from trainer.progress import Progress
from trainer.statements import without_blanks

if TYPE_CHECKING:
    from trainer.model import RewardModel

OTHERS = "Give solutions of other problems."
FEW = 4  # curves that end here or earlier hardly show a model


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the options of `evaluate`."""
    parser = commands.add_parser("evaluate", help="judge a model by labeled solutions, by best-of-N, or by both")
    parser.add_argument("--model", type=Path, required=True, help="folder of a process reward model")
    parser.add_argument("--labeled", type=Path, help="solutions with ratings, for figures about the steps")
    add_format_option(parser, "--labeled")
    parser.add_argument("--samples", type=Path, help="solutions with right and answer, or to be graded, for best-of-N")
    parser.add_argument("--orm", type=Path, help="folder of an outcome reward model, to compare in best-of-N")
    parser.add_argument(
        "--best-of", type=int, metavar="N", help="largest N; problems with fewer samples are left out (default: use all problems)"
    )
    parser.add_argument("--by-subject", action="store_const", dest="by", const="subject", help="add a table by the subject of each line")
    parser.add_argument("--by-source", action="store_const", dest="by", const="source", help="add a table by the source of each line")
    parser.add_argument("--states", type=Path, help="folder where the states of a frozen base are kept (default: in your folder of caches)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap and of the draws of a vote")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> None:
    """Print a report on the solutions of problems on which no model was trained."""
    from trainer.states import default_folder
    from trainer.train import judge_solutions

    if not options.labeled and not options.samples:
        raise BadInput("There is nothing to judge. Give --labeled, --samples or both.")
    if options.orm and not options.samples:
        raise BadInput("An outcome reward model cannot judge steps. Give --samples with --orm.")
    if options.best_of is not None and options.best_of < 1:
        raise BadInput(f"--best-of must be at least 1, not {options.best_of}.")
    model, training, held_out = load(options.model, kind="prm")
    model = model.keeping_states(options.states or default_folder())
    models, trained_on = {"PRM": model}, training
    if options.orm:
        models["ORM"], training_of_orm, _ = load(options.orm, kind="orm")
        trained_on = training | training_of_orm
    groups: dict[str, str] = {}
    judged: list[Judged] = []
    problems: list[Samples] = []
    threshold: float | None = model.threshold
    report: dict[str, Any] = {}
    with progress_bar() as progress:
        if options.labeled:
            lines = read(options.labeled, by=options.by, groups=groups, format=options.format, say=say_on_stderr)
            rated = with_ratings([line.labeled for line in lines], path=options.labeled)
            unseen = [labeled for labeled in rated if labeled.solution.problem_key not in training]
            if not unseen:
                raise BadInput(
                    f"{options.labeled}: it has {counted(len(rated), 'rated solution')}, and the model was trained on "
                    f"the problems of all. {OTHERS}"
                )
            judged = judge_solutions(model, unseen, progress=progress)
            if not held_out.isdisjoint(solution.problem_key for solution in judged):
                threshold = None  # the model's own threshold was chosen on these problems
            split = "the model's held-out problems, of which none is here"
            steps = evaluate_steps(judged, base_rates=model.base_rates, threshold=threshold, threshold_split=split, trained_on=training)
            used = cross_fitted_thresholds(judged) if threshold is None else threshold
            interval = first_mistake_interval(judged, threshold=used, seed=options.seed)
            report |= {"left_out_as_trained_on": len(rated) - len(unseen), "first_mistake_interval": interval} | steps.as_dict()
        if options.samples:
            problems, left_out = gather(
                options.samples,
                models,
                trained_on=trained_on,
                at_least=options.best_of or 1,
                by=options.by,
                groups=groups,
                progress=progress,
            )
            report |= left_out | choices(problems, best_of=options.best_of, seed=options.seed)
    if options.by and not groups:
        raise BadInput(f"No line has a {options.by}. Add one to each line, or leave out --by-{options.by}.")
    tables = ({"by_difficulty": difficulty_quintiles(problems)} if problems else {}) | ({f"by_{options.by}": groups} if options.by else {})
    problems = [
        replace(problem, scores={name: problem.scores[name] for name in models}) for problem in problems
    ]  # without the other aggregates
    for name, mapping in tables.items():
        mine = [solution for solution in judged if name != "by_difficulty" or solution.problem_key in mapping]
        rows = evaluate_groups(mapping, judged=mine, problems=problems, base_rates=model.base_rates, threshold=threshold, seed=options.seed)
        report[name] = {group: row.as_dict() for group, row in rows.items()}
    for sentence in [*cautions(report), *choice_cautions(problems, best_of=options.best_of)]:
        print(sentence, file=sys.stderr)
    print(json.dumps(report, indent=2, ensure_ascii=False))


def load(folder: Path, *, kind: str) -> "tuple[RewardModel, frozenset[str], frozenset[str]]":
    """Load a model of this kind, with the keys of the problems that it has read, labels or text alone, and of its held-out problems.

    Models of older versions have whole statements as keys, so each key is there without its white space too.
    """
    from trainer.folders import SPLIT_FILE
    from trainer.score import load_prm

    model = load_prm(folder)
    if model.kind != kind:
        needed = {"prm": "--model needs a process reward model", "orm": "--orm needs an outcome reward model"}
        raise BadInput(f"{folder} holds a reward model of kind {model.kind}, but {needed[kind]}. Name another folder.")
    split = json.loads((folder / SPLIT_FILE).read_text(encoding="utf-8"))
    read, held_out = [*split["training"], *split.get("text", ())], split["held_out"]
    training, apart = (frozenset(keys).union(map(without_blanks, keys)) for keys in (read, held_out))
    return model, training, apart


def read(
    path: Path, *, by: str | None, groups: dict[str, str], format: str | None = None, say: Say | None = None
) -> Iterator[SolutionLine]:
    """Yield each solution of a file; note the group of its problem in `groups`. Raises BadInput."""
    for line in read_solution_lines(path, format=format, say=say):
        key, group = line.labeled.solution.problem_key, {"subject": line.subject, "source": line.source}.get(by or "")
        if group is not None and groups.setdefault(key, group) != group:
            raise BadInput(
                f"{path} {place_in_words(line.number)}: the problem {key!r} has the {by} {group!r} here and {groups[key]!r} before. "
                "All solutions of a problem must be in the same group. Correct one of the lines."
            )
        yield line


def gather(
    path: Path,
    models: "Mapping[str, RewardModel]",
    *,
    trained_on: frozenset[str],
    at_least: int,
    by: str | None,
    groups: dict[str, str],
    progress: Progress,
) -> tuple[list[Samples], dict[str, int]]:
    """Score the samples of a file with each model and group them by problem; count those left out. Raises BadInput."""
    samples, judged, n_seen = [], set(), 0
    for solution, right, answer in read_graded_lines(path, read(path, by=by, groups=groups, say=say_on_stderr), say=say_on_stderr):
        if solution.problem_key in trained_on:
            n_seen += 1
        else:
            judged.add(solution.key)
            samples.append((solution.problem_key, right, answer))
    counts = Counter(key for key, _, _ in samples)
    if not samples and not n_seen:
        raise BadInput(f"{path} holds no sample. Give one JSON mapping per line, with problem, steps, right and answer.")
    if not samples:
        raise BadInput(f"{path}: it has {counted(n_seen, 'sample')}, and a model was trained on the problems of all. {OTHERS}")
    if (most := max(counts.values())) < at_least:
        others = f", without the {counted(n_seen, 'sample')} of problems on which a model was trained" if n_seen else ""
        raise BadInput(
            f"{path}: --best-of {at_least} needs {counted(at_least, 'sample')} of a problem, but no problem has more than {most}{others}. "
            f"Use --best-of {most}, or give more samples of each problem."
        )
    scores: dict[str, NDArray[np.float64]] = {}
    for name, model in models.items():  # read again for each model, so that never all texts are in memory
        unseen = (labeled.solution for labeled in read_solutions(path) if labeled.solution.key in judged)
        scores |= score(name, model, unseen, total=len(samples), progress=progress)
    problems, n_small = by_problem(samples, scores, at_least=at_least)
    check_apart((problem.problem_key for problem in problems), trained_on=trained_on)
    return problems, {"samples_left_out_as_trained_on": n_seen, "problems_left_out_with_too_few_samples": n_small}


def choice_cautions(problems: Sequence[Samples], *, best_of: int | None) -> list[str]:
    """Return why the best-of-N curves say little, as sentences; nothing if they can say something."""
    if not problems:
        return []
    sentences, fewest = [], min(len(problem.right) for problem in problems)
    if not any(problem.right.any() and not problem.right.all() for problem in problems):
        right, wrong = (all(problem.right.any() == value for problem in problems) for value in (True, False))
        what = "Every sample is right" if right else "Every sample is wrong" if wrong else "No problem has both right and wrong samples"
        sentences.append(
            f"{what}, so every way to choose is as good as the next and best-of-N compares nothing. Give samples of other problems."
        )
    if best_of is None and fewest < max(len(problem.right) for problem in problems) and fewest < FEW:
        fewer = sum(len(problem.right) == fewest for problem in problems)
        sentences.append(
            f"The curves end at N = {fewest}, because {counted(fewer, 'problem has', 'problems have')} no more samples. "
            "Use --best-of to leave such problems out."
        )
    elif fewest == 1 and best_of is None:
        sentences.append("Each problem has one sample, so there is nothing to choose from. Give more samples of each problem.")
    return sentences


def score(
    name: str, model: "RewardModel", solutions: Iterable[SolutionText], *, total: int, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Score the solutions, with the PRM also by all eight aggregates: (total,) for each name."""
    from trainer.score import score_solutions

    scores: dict[str, list[float]] = defaultdict(list)
    for scored in score_solutions(model, solutions, total=total, progress=progress):
        scores[name].append(scored.score)
        for way, aggregate in AGGREGATES.items() if name == "PRM" else ():
            scores[way].append(aggregate(scored.probabilities, unread_steps=scored.unread_steps))
    return {way: np.array(values) for way, values in scores.items()}


def by_problem(
    samples: Sequence[tuple[str, bool, str | None]], scores: Mapping[str, NDArray[np.float64]], *, at_least: int
) -> tuple[list[Samples], int]:
    """Group the samples by problem; count the problems left out because they have fewer than `at_least`.

    Equal answers of a problem are one class, however they are written, and so are all right ones. Raises GraderUnavailable.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, (key, _, _) in enumerate(samples):
        places[key].append(place)
    large = {key: mine for key, mine in places.items() if len(mine) >= at_least}
    votes = group_answers(([samples[i][2] for i in mine], [samples[i][1] for i in mine]) for mine in large.values())
    problems = [
        Samples(key, np.array([samples[i][1] for i in mine]), np.array(own), {name: values[mine] for name, values in scores.items()})
        for (key, mine), own in zip(large.items(), votes, strict=True)
    ]
    return problems, len(places) - len(problems)


def choices(problems: Sequence[Samples], *, best_of: int | None, seed: int) -> dict[str, Any]:
    """Return the best-of-N curves, and the eight aggregates at the largest N."""
    ns = counts_to(best_of or min(len(problem.right) for problem in problems))
    whole = best_of_n(problems, ns=ns, seed=seed).as_dict()
    curves = whole.pop("curves")
    return {
        "best_of_n": whole | {"curves": {name: curve for name, curve in curves.items() if name not in AGGREGATES}},
        "aggregates": {"n": ns[-1]} | {name: {part: values[-1] for part, values in curves[name].items()} for name in AGGREGATES},
    }
