"""docs/datasets.md: its tables of fields and options are those of the writers, and its examples are rows of a real record."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.trainer.contents import CONSENSUS, of_records
from trainer.writers import WRITERS, Labeled, Writer, from_content

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = (ROOT / "docs" / "datasets.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S))
LONGEST, MOST = 150, 4  # of a text and of a list as the document shows them
SHOWN = {"labels": 7}  # which row is shown, if not the first


def table(writer: Writer) -> str:
    """The fields and options of a format as the document writes them."""
    lines = ["| field | kind | |", "|---|---|---|", *(f"| `{field.name}` | {field.kind} | {field.meaning} |" for field in writer.fields)]
    if any(len(option.meanings) > 1 for option in writer.options):
        lines += ["", "| option | value | |", "|---|---|---|"]
        for option in writer.options:
            for value, meaning in option.meanings.items():
                lines.append(f"| `{option.name}` | `{value}`{' (default)' if value == option.default else ''} | {meaning} |")
    return "\n".join(lines)


def shortened(value: Any) -> Any:
    """A value with long texts and lists cut in their middle."""
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:90].rstrip()} … {value[-40:].lstrip()}"
    if isinstance(value, list):
        return [shortened(item) for item in (value if len(value) <= MOST else [*value[:2], "…", value[-1]])]
    return {key: shortened(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def example(writer: Writer, one: Labeled) -> str:
    """The row of a record, as the document shows it."""
    row = list(writer.rows([one]))[SHOWN.get(writer.name, 0)]
    return json.dumps(shortened(orjson.loads(row) if isinstance(row, bytes) else row), ensure_ascii=False)


@pytest.fixture(scope="module")
def real(data: Path) -> Labeled:
    """The second record of the originals: phase 2, a mistake at step 7, three other texts for it. The consensus is made up."""
    one = of_records(data / "prm800k" / "original_6.jsonl")[1]
    consensus = CONSENSUS | {"p_first": [0.0] * 6 + [0.8] + [0.0] * 6, "p_neutral": [0.1] * 13, "first_mistake": 6}
    about = {
        "annotation": 2, "solution": 2, "problem": 1, "problem_id": "senate", "subject": "Counting & Probability", "level": "5",
        "split": "train", "source": "PRM800K", "outcome": "wrong", "final_answer": "7200", "batch": 6, "batch_kind": "imported",
        "task_kind": "normal", "guidelines_version": None, "active_ms": None, "is_interactive": False, "labeler": one.labeler,
        "reference_answer": "28800",
    }  # fmt: skip
    return from_content({"record": one.line, **about, **consensus} | {"labeler": json.loads(one.line)["labeler"]})


def test_every_format_has_its_section_in_the_order_of_the_table() -> None:
    assert list(SECTIONS) == list(WRITERS)


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_document_has_the_fields_and_options_of_the_format(name: str) -> None:
    assert WRITERS[name].title in SECTIONS[name] and table(WRITERS[name]) in SECTIONS[name]


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_document_shows_the_row_of_a_real_record(name: str, real: Labeled) -> None:
    assert re.findall(r"^```json\n(.*?)\n```", SECTIONS[name], re.M | re.S)[0] == example(WRITERS[name], real)


def test_the_document_names_every_reason_and_count() -> None:
    from trainer.writers import solutions, stepwise, verdicts  # the words themselves, which the package does not give away

    words = [
        value
        for module in (verdicts, stepwise, solutions)
        for key, value in vars(module).items()
        if key.isupper() and isinstance(value, str)
    ]
    said = [value for value in words if " " in value and not value.startswith(("The last", "Please"))]
    assert len(said) > 15 and [value for value in said if value not in DOCUMENT] == []
