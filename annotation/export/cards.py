"""Stage: export, cards: the README.md of a data set folder, for people who never saw the project, and its front matter for hubs.

Everything in it is computed from the snapshot: the same snapshot and options give the same text. People appear as pseudonyms only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotation.agreement import above_chance
from annotation.export.describing import Description
from annotation.export.wording import filter_in_words
from annotation.models import BatchKind, Snapshot
from trainer.contamination import FEWEST, NEAR, SEQUENCE
from trainer.counting import counted
from trainer.writers import WRITERS, WrittenFile

TAGS = ("process-reward-model", "process-supervision", "step-level-labels", "mathematics", "stepmark")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
SHOWN = 10  # rows of a table; the rest is one row
SHOWN_MATCHES = 50
CHOSEN_BY_LABELS = ("agreement", "finish_reasons", "without", "review")  # filters that leave labels out by what they say
KINDS = {
    BatchKind.SELECTED: "chosen for labeling",
    BatchKind.SCREENING: "questions that newcomers answered first",
    BatchKind.IMPORTED: "labels from a file",
    BatchKind.IMPORTED_GOLD: "quality-control labels from a file",
    BatchKind.CALIBRATION: "labeled by everybody, to compare verdicts",
    BatchKind.REVIEW: "decisions of reviewers",
}
OUTCOMES = {"correct": "right final answer", "wrong": "wrong final answer", "unsure": "unsure", "ungraded": "not graded"}
REASONS = {
    "solution": "no mistake to the end",
    "found_error": "ended at the first mistake",
    "bad_problem": "the problem itself is bad",
    "give_up": "gave up",
}


@dataclass(frozen=True)
class DatasetFile:
    """A file of a folder. `path` is relative to it, `config` names the format, and `part` is train, valid or test.

    `losses` say in sentences what of the part the format cannot hold. A file without rows is not written, and its losses are still said.
    """

    path: str
    config: str
    part: str
    options: Mapping[str, str]
    written: WrittenFile
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class CardFacts:
    """What the author of a data set says of it. `licence` is an identifier such as cc-by-4.0, `language` a code such as en."""

    title: str
    licence: str
    language: str = "en"


def front_matter(snapshot: Snapshot, facts: CardFacts, planned: Sequence[DatasetFile]) -> str:
    """Return the YAML at the top of the card: licence, size, and which file is which split of which configuration."""
    from huggingface_hub import DatasetCardData  # it takes a second to load, and few commands need it

    size = next((name for limit, name in SIZES if snapshot.count < limit), "n>10M")
    files, configs = written(planned), list[dict[str, Any]]()
    for name in dict.fromkeys(file.config for file in files):
        own = [{"split": SPLIT_NAMES[file.part], "path": file.path} for file in files if file.config == name]
        configs.append({"config_name": name, "data_files": own} | ({} if configs else {"default": True}))
    card = DatasetCardData(
        language=facts.language,
        license=facts.licence,
        pretty_name=facts.title,
        size_categories=[size],
        task_categories=["token-classification"],
        tags=list(TAGS),
        configs=configs,
    )
    return f"---\n{card.to_yaml()}\n---\n"


# As `datasets` names them.
SPLIT_NAMES = {"train": "train", "valid": "validation", "test": "test"}


def write_card(
    snapshot: Snapshot, found: Description, facts: CardFacts, files: Sequence[DatasetFile], *, guidelines: Mapping[int, str]
) -> str:
    """Return the whole README.md. `guidelines` has the text of each version that labels of the snapshot were made under."""
    sections = [
        f"# {_plain(facts.title)}",
        _summary(snapshot, found),
        *_use(files),
        *_labeling(snapshot, found, guidelines),
        *_people(found),
        *_agreement(snapshot, found),
        *_distributions(found),
        *_contamination(found),
        *_licence(facts, found),
        *_limits(snapshot, found),
        *_origin(snapshot, files),
    ]
    return front_matter(snapshot, facts, files) + "\n" + "\n\n".join(section for section in sections if section) + "\n"


# --- sections ---------------------------------------------------------------------------------------------------------------------


def _summary(snapshot: Snapshot, found: Description) -> str:
    counts = snapshot.counts
    return (
        f"{counted(snapshot.count, 'annotation')} of {counted(counts['solutions'], 'solution')} to "
        f"{counted(counts['problems'], 'problem')} by {counted(counts['people'], 'person', 'people')}. "
        f"{_method(found)} Each annotation is the work of one person on one solution. "
        "The format and the method are those of PRM800K (Lightman et al., *Let's Verify Step by Step*, 2023)."
    )


def _method(found: Description) -> str:
    """Return what people did: they read whole solutions, or made their own from texts for each step, or both."""
    values = "as positive (1), neutral (0) or negative (-1)"
    whole = f"People read model-written solutions step by step. They rated each step {values} and stopped at the first mistake."
    walked = f"For each step they rated texts {values}, and chose or wrote the one to go on from."
    n_walked = found.counts["generation"][None]
    if n_walked == found.annotations:
        return f"People made solutions step by step. {walked}"
    return f"{whole} {counted(n_walked, 'annotation was', 'annotations were')} made in another way. {walked}" if n_walked else whole


def _use(planned: Sequence[DatasetFile]) -> Iterable[str]:
    files = written(planned)
    yield "## How to use it"
    first = files[0]
    example = f'load_dataset("FOLDER OR REPOSITORY", "{first.config}", split="{SPLIT_NAMES[first.part]}")'
    yield f"```python\nfrom datasets import load_dataset\n\nrows = {example}\nprint(rows[0])\n```"
    rows = []
    for name in dict.fromkeys(file.config for file in files):
        own = [file for file in files if file.config == name]
        sizes = ", ".join(f"{SPLIT_NAMES[file.part]} {file.written.n_records:,}" for file in own)
        rows.append((f"`{name}`", WRITERS[name].describe(own[0].options), sizes))
    yield _table(("configuration", "what it holds", "rows"), rows)
    for name in dict.fromkeys(file.config for file in files):
        writer = WRITERS[name]
        yield f"### Fields of `{name}`"
        yield _table(
            ("field", "kind", "meaning"),
            [(f"`{each.name}`", each.kind, each.meaning.replace(" (formats.md)", "")) for each in writer.fields],
        )
        losses = dict.fromkeys(sentence for file in planned if file.config == name for sentence in file.losses)
        if losses:
            yield f"What `{name}` does not hold:\n\n" + "\n".join(f"- {_named_part(planned, name, sentence)}" for sentence in losses)
    if len({file.part for file in files}) > 1:
        yield (
            "The parts are divided by problems: no problem is in two parts. "
            "Two problems that differ in a number or a few words can be in two parts. They were not looked for."
        )


def written(files: Iterable[DatasetFile]) -> list[DatasetFile]:
    """Return the files that have rows: the others are not there."""
    return [file for file in files if file.written.n_records]


def _named_part(files: Sequence[DatasetFile], name: str, sentence: str) -> str:
    parts = [SPLIT_NAMES[file.part] for file in files if file.config == name and sentence in file.losses]
    return sentence if len({file.part for file in files}) == 1 else f"{' and '.join(parts)}: {sentence}"


def _labeling(snapshot: Snapshot, found: Description, guidelines: Mapping[int, str]) -> Iterable[str]:
    yield "## How it was labeled"
    loaded = _n_loaded(found)
    here, were = found.annotations - loaded, ("annotation was", "annotations were")
    text = f"{counted(here, *were)} made in Stepmark, on a page that shows one solution." if here else ""
    elsewhere = f"{counted(loaded, *were)} made elsewhere and loaded from files." if loaded else ""
    others = f"{counted(found.alternatives, 'other text')} for single steps were rated too." if found.alternatives else ""
    yield " ".join(part for part in (text, elsewhere, others) if part)
    yield _counted_table("how it ended", found.counts["finish_reason"], found.annotations, names=REASONS)
    yield _counted_table("why a solution was labeled", found.counts["batch_kind"], found.annotations, names=dict(KINDS))
    chosen = [batch for batch in snapshot.provenance.get("batches", ()) if batch.get("strategy") or batch.get("model")]
    if chosen:
        rows = [
            (
                batch["batch"],
                "–" if batch.get("generation") is None else batch["generation"],
                batch.get("model") or "none",
                batch.get("strategy") or "–",
                "–" if batch.get("seed") is None else batch["seed"],
                f"{batch['annotations']:,}",
            )
            for batch in chosen
        ]
        yield "A model or a strategy chose these batches. So their solutions are no random sample."
        yield _table(("batch", "generation", "model", "strategy", "seed", "annotations"), _shortened(rows))
    for number, text in sorted(guidelines.items()):
        yield f"### Guidelines, version {number}"
        yield _quoted(text) if text.strip() else "The project had no guidelines."


def _n_loaded(found: Description) -> int:
    return sum(found.counts["batch_kind"][kind] for kind in (BatchKind.IMPORTED, BatchKind.IMPORTED_GOLD))


def _people(found: Description) -> Iterable[str]:
    yield "## Who labeled"
    per_person = sorted(found.counts["labeler"].values())
    text = (
        f"{counted(len(per_person), 'person', 'people')}. Each annotation names its person by a random pseudonym, "
        "which is different in each project. The files hold no names, addresses or accounts."
    )
    if _n_loaded(found):
        text += (
            " If a loaded file names no people, each label of a solution counts as another person's. So the number of people can be wrong."
        )
    if len(per_person) > 1:
        text += f" Annotations by one person: {_spread(per_person)}."
    if found.seconds:
        text += f" Seconds of work for one solution: {_spread(found.seconds)}."
    yield text


def _agreement(snapshot: Snapshot, found: Description) -> Iterable[str]:
    yield "## How far people agree"
    if found.agreement is None or not found.shared:
        kept = "The data set has one label of each solution" if _is_consensus(snapshot) else "No solution here has labels of two people"
        yield f"{kept}. So it does not show how far people agree."
        if found.settled:
            yield _settled(found)
        return
    measured = found.agreement
    sample = f" {measured.n:,} of them were drawn for the figures." if measured.n < found.shared else ""
    yield f"At least two people read {counted(found.shared, 'solution')}.{sample} Intervals: 95 %, bootstrap over problems."
    rows = [
        ("same first mistake, or both none", measured.exact.as_share, measured.exact.n),
        ("the same, where somebody marked a mistake", measured.on_mistakes.as_share, measured.on_mistakes.n),
        ("Krippendorff's alpha of the ratings (ordinal)", measured.alpha.as_number, measured.alpha.n),
    ]
    if found.chance is not None:
        rows.insert(1, ("the same, expected by chance for solutions of this length", f"{found.chance:.0%}", measured.exact.n))
        if (above := above_chance(measured.exact.value, found.chance)) is not None:
            rows.insert(2, ("how much of what chance leaves open is agreed on", f"{above:.2f}", measured.exact.n))
    yield _table(("figure", "value", "solutions"), [(name, value, f"{n:,}") for name, value, n in rows])
    yield "Alpha is optimistic. People stop at the first mistake that they find, so the hard steps after it have few ratings."
    if found.settled:
        yield _settled(found)


def _settled(found: Description) -> str:
    return f"{counted(found.settled, 'solution has', 'solutions have')} a consensus. A reviewer decided {found.adjudicated:,} of them."


def _is_consensus(snapshot: Snapshot) -> bool:
    return bool(snapshot.spec.get("labels") == "consensus")


def _distributions(found: Description) -> Iterable[str]:
    yield "## What is in it"
    n_ratings = sum(found.ratings.values())
    names = {1: "positive (1)", 0: "neutral (0)", -1: "negative (-1)", None: "not rated"}
    yield _table(
        ("rating of a step", "steps", "share"),
        [
            (name, f"{found.ratings[rating]:,}", _percent(found.ratings[rating], n_ratings))
            for rating, name in names.items()
            if rating in found.ratings
        ],
    )
    yield f"Steps of one solution: {_spread(found.steps)}." if found.steps else ""
    if found.first_mistakes:
        yield _counted_table(
            "first mistake at step", Counter({place + 1: n for place, n in found.first_mistakes.items()}), found.annotations, in_order=True
        )
    for column, title, known in (
        ("outcome", "final answer", OUTCOMES),
        ("source", "written by", {"": "not known"}),
        ("subject", "subject", {"": "none"}),
        ("level", "level", {"": "none"}),
        ("generation", "generation", {None: "step by step"}),
    ):
        counter = found.counts[column]
        if len(counter) > 1 or column in ("outcome", "source"):
            yield _counted_table(title, counter, found.annotations, names=known, in_order=column in ("level", "generation"))


def _contamination(found: Description) -> Iterable[str]:
    yield "## Problems of public benchmarks"
    yield (
        "A model that learns from these problems knows them when it is judged on the benchmark. Two problems are *the same* if all their "
        f"words, numbers and signs are. A problem is *near* a benchmark's problem if it holds at least {NEAR:.0%} of its sequences of "
        f"{SEQUENCE} words. "
        f"Problems with fewer than {FEWEST} such sequences can only be the same. "
        "Near problems are often variants with other numbers: look at them. "
        f"Other benchmarks were not looked for. The data set has {counted(found.problems, 'problem')}."
    )
    rows = []
    for name, size in found.benchmarks.items():
        own = [match for match in found.matches if match.benchmark == name]
        exact = sum(match.is_exact for match in own)
        rows.append((name, f"{size:,}", f"{exact:,}", f"{len(own) - exact:,}"))
    yield _table(("benchmark", "its problems", "the same here", "near here"), rows)
    if found.matches:
        ordered = sorted(found.matches, key=lambda match: (-match.share, match.benchmark, match.problem_id))
        listed = [
            (
                _code(match.problem_id),
                match.benchmark,
                _code(match.benchmark_id),
                "the same" if match.is_exact else f"{match.share:.0%}",
            )
            for match in ordered[:SHOWN_MATCHES]
        ]
        yield _table(("problem", "benchmark", "its id there", "shared word sequences"), listed)
        if len(ordered) > SHOWN_MATCHES:
            yield f"`contamination.csv` lists all {len(ordered):,}."


def _licence(facts: CardFacts, found: Description) -> Iterable[str]:
    yield "## Licence"
    sources = [str(source) for source in found.counts["source"] if source]
    of_models = f" The solutions were written by {_listed(sources)}: their terms can limit what you do with them." if sources else ""
    yield (
        f"The labels are under the licence `{_plain(facts.licence)}`. "
        f"The problems keep the licence of the collection that they come from.{of_models}"
    )


def _limits(snapshot: Snapshot, found: Description) -> Iterable[str]:
    yield "## Limits"
    limits = [
        "Nothing is known about the steps after the first mistake. They were not rated. Do not count them as wrong.",
        "A label is an opinion. People differ about neutral and positive more than about mistakes.",
        "The outcome of a solution compares final answers by rules. It says nothing about the steps, and the rules can be wrong.",
    ]
    if _is_consensus(snapshot):
        limits.append("Of each solution one label is in it, which says what the consensus says. The labels of other people are not.")
    elif found.alone:
        limits.append(f"{counted(found.alone, 'solution has', 'solutions have')} labels of one person only.")
    if any(batch.get("model") for batch in snapshot.provenance.get("batches", ())):
        limits.append("A reward model chose solutions. Shares and averages are those of what it chose, not of what models write.")
    if any(snapshot.spec.get(name) for name in CHOSEN_BY_LABELS):
        limits.append("A filter chose by what people said (see below). Shares and agreement are those of what it left.")
    if snapshot.spec.get("quarantined"):
        limits.append("Labels of people whose work was in doubt (quarantine) are in it.")
    if snapshot.spec.get("newcomers", True) and found.counts["batch_kind"].get(BatchKind.SCREENING):
        limits.append("Screening answers are in it, also those of newcomers who were not admitted. Their generation is negative.")
    yield "\n".join(f"- {limit}" for limit in limits)


def _origin(snapshot: Snapshot, files: Sequence[DatasetFile]) -> Iterable[str]:
    yield "## Where it comes from"
    provenance = snapshot.provenance
    graders = ", ".join(provenance.get("graders", ())) or "none"
    yield (
        f"Snapshot {snapshot.number} of the project `{snapshot.project.slug}`, taken on {snapshot.created_at:%Y-%m-%d} with Stepmark "
        f"{provenance.get('stepmark', '')}, an open platform for labels of steps. Grader of the final answers: {graders}. "
        f"SHA-256 of the snapshot: `{snapshot.sha256}`. A snapshot never changes: the same files can be written again at any time."
    )
    yield f"What was asked for: {'; '.join(filter_in_words(snapshot.spec))}."
    yield _table(
        ("file", "rows", "bytes", "SHA-256"),
        [
            (f"`{file.path}`", f"{file.written.n_records:,}", f"{file.written.n_bytes:,}", f"`{file.written.sha256}`")
            for file in written(files)
        ],
    )


# --- words and tables -----------------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)])


def _counted_table(
    title: str, counter: "Counter[Any]", total: int, *, names: Mapping[Any, str] | None = None, in_order: bool = False
) -> str:
    """Return a table of counts: the greatest first, or in the order of the values. What does not fit is added up in the last row."""
    items = counter.most_common()
    if in_order:
        items.sort(key=lambda item: (item[0] is not None, item[0] if item[0] is not None else 0))
    shown, rest = items[:SHOWN], sum(count for _, count in items[SHOWN:])
    rows = [((names or {}).get(value, value), f"{count:,}", _percent(count, total)) for value, count in shown]
    if rest:
        rows.append(("later" if in_order else f"{len(items) - SHOWN:,} others", f"{rest:,}", _percent(rest, total)))
    return _table((title, "annotations", "share"), rows)


def _shortened(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    if len(rows) <= 2 * SHOWN:
        return list(rows)
    return [*rows[: 2 * SHOWN], (f"{len(rows) - 2 * SHOWN:,} others", *[""] * (len(rows[0]) - 1))]


def _cell(value: Any) -> str:
    """Return a value as one cell: no line ends, and no bar that would end the cell."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _code(value: Any) -> str:
    return f"`{_plain(str(value))}`"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _listed(names: Sequence[str]) -> str:
    shown = [_code(name) for name in names[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN:,} others" if len(names) > SHOWN else "")


def _percent(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "–"


def _spread(values: Sequence[float]) -> str:
    low, first, median, third, high = np.quantile(np.asarray(values, float), (0, 0.25, 0.5, 0.75, 1))
    return f"median {median:,.0f}, quartiles {first:,.0f} and {third:,.0f}, range {low:,.0f} to {high:,.0f}"
