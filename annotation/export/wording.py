"""Stage: export, wording: filters, formats and choices of an export as a person reads them. Pure: no database."""

from collections.abc import Callable, Mapping
from typing import Any

from annotation.eligibility import Use
from trainer.counting import counted
from trainer.writers import WRITERS

ENDS = {
    "solution": "no mistake found",
    "found_error": "mistake found",
    "bad_problem": "bad problem",
    "give_up": "gave up",
}
SPLITS = {("train",): "problems of the training split", ("test",): "problems of the test split"}
ADJUDICATIONS = {
    "beside": "decisions of reviewers beside other labels",
    "instead": "decisions of reviewers instead of other labels",
    "without": "no decisions of reviewers",
}
CONTAINERS = {"jsonl": "JSON lines", "parquet": "Parquet", "json": "one JSON array", "zip": "zip"}


def _generation(number: int) -> str:
    return "the screening" if number == -1 else str(number)


def _ends(reasons: list[str]) -> str:
    return ", ".join(ENDS.get(reason, reason) for reason in reasons)


# What each field of a filter says, in the order of the form. None: nothing.
_PHRASES: dict[str, Callable[[Any], str | None]] = {
    "splits": lambda value: SPLITS.get(tuple(value), "problems of both splits"),
    "generations": lambda value: f"generation {', '.join(map(_generation, value))}",
    "batches": lambda value: f"batch {', '.join(map(str, value))}",
    "since": lambda value: f"submitted from {value[:16].replace('T', ' ')} UTC on",
    "until": lambda value: f"submitted before {value[:16].replace('T', ' ')} UTC",
    "people": lambda value: f"labels of {', '.join(value)}" if len(value) < 3 else f"labels of {len(value)} people",
    "finish_reasons": lambda value: f"that ended with: {_ends(value)}",
    "without": lambda value: f"that did not end with: {_ends(value)}" if value else None,
    "sources": lambda value: f"solutions of {', '.join(value)}",
    "agreement": lambda value: "people agree on the first mistake" if value == "agree" else "people differ on the first mistake",
    "min_labels": lambda value: f"at least {counted(value, 'person', 'people')} judged the solution to the end",
    "review": lambda value: "a reviewer decided" if value == "reviewed" else "no reviewer decided",
    "labels": lambda value: "one label for each solution: what the consensus says" if value == "consensus" else None,
    "adjudications": lambda value: ADJUDICATIONS.get(value),
    "quarantined": lambda value: "with the labels of people in quarantine" if value else None,
    "newcomers": lambda value: None if value else "without the screening answers of people who are not admitted",
}


def filter_in_words(spec: Mapping[str, Any]) -> list[str]:
    """Return what a filter (Snapshot.spec, SnapshotFilter.spec) keeps, in phrases."""
    if spec.get("use") == Use.TRAINING:
        return ["what a training learns from"]
    phrases = (phrase(spec[name]) for name, phrase in _PHRASES.items() if spec.get(name) is not None)
    return [phrase for phrase in phrases if phrase]


def _options_in_words(format: str, options: Mapping[str, str]) -> list[str]:
    meanings = {option.name: option.meanings for option in WRITERS[format].options} if format in WRITERS else {}
    return [meanings.get(name, {}).get(value, f"{name}: {value}.") for name, value in options.items()]


def choice_in_words(format: str, described: Mapping[str, Any]) -> list[str]:
    """Return how an export was written, in sentences. `described`: options, rule and limits, as far as they are known."""
    options = described.get("options") or {}
    if format in WRITERS:
        sentences = _options_in_words(format, options)
    else:
        sentences = [f"{name}: {value}." for name, value in options.items() if isinstance(value, str)]
        of_formats = options.get("options") or {}
        sentences += [f"{name}: {words}" for name, chosen in of_formats.items() for words in _options_in_words(name, chosen)]
    if rule := described.get("rule"):
        shares = ", ".join(f"{100 * rule[part]:g} % {part}" for part in ("train", "valid", "test"))
        sentences.append(f"Divided by problems: {shares} (seed {rule['seed']}).")
    if limits := described.get("limits"):
        rows = counted(limits["max_records"], "row") if "max_records" in limits else ""
        size = f"{limits['max_bytes'] / 1_000_000:,g} MB before packing" if "max_bytes" in limits else ""
        sentences.append(f"Several files, each with at most {' and '.join(filter(None, (rows, size)))}.")
    return sentences
