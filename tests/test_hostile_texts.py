"""Hostile texts that the site accepts (harness A9 of docs/reliability.md): they come back as they were sent, byte for byte."""

import html
import io
import itertools
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotation import labels
from annotation.models import Annotation, Message, Project, Solution, StepAlternative
from benchmarks import hostile
from tests import make
from tests.clients import claim, page, post, signed_in, submission
from tests.exports import label, written
from trainer.__main__ import main

pytestmark = pytest.mark.django_db
TEXTS = [text.text for text in hostile.STORED]
PORTIONS = list(hostile.pages(TEXTS))
ROWS = [{"problem": "\n".join(("What?", *some)), "steps": list(some), "answer": "5"} for some in PORTIONS]
STRIDE = 11  # of the texts that are sent one by one

STORED = [(row["problem"], row["steps"]) for row in ROWS]


def texts_of(record: dict[str, Any]) -> list[str]:
    return [step["completions"][0]["text"] for step in record["label"]["steps"]]


def load(project: Project, folder: Path) -> None:
    """Load solutions that have the texts as steps. Their problems have them too."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    options = ["--project", project.slug, "--format", "generic", "--allow-broken-steps"]
    call_command("load_solutions", str(path), *options, stdout=io.StringIO(), stderr=io.StringIO())


def one_by_one(project: Project) -> Iterator[Solution]:
    """Yield the loaded solutions, each when it alone is to be labeled."""
    for solution in Solution.objects.filter(problem__project=project).order_by("pk"):
        make.batch(project, [solution])
        yield solution


@pytest.fixture
def short(request: pytest.FixtureRequest) -> list[str]:
    """Texts that fit into a field for a few words."""
    texts = [text for text in TEXTS if len(text) <= min(labels.LONGEST_REASON, labels.LONGEST_WRITTEN)]
    return texts if request.config.getoption("--long") else texts[::STRIDE]


def test_problem_and_steps_are_exported_as_they_were_loaded(tmp_path: Path) -> None:
    project = make.project("sums")
    load(project, tmp_path)
    for solution in one_by_one(project):
        label(project, *[1] * len(solution.steps), finish_reason="solution")
    records = [json.loads(line) for line in written(project)]
    assert sorted((record["question"]["problem"], record["question"]["pre_generated_steps"]) for record in records) == sorted(STORED)
    assert sorted(text for record in records for text in texts_of(record)) == sorted(TEXTS)


def test_the_labeling_page_carries_the_texts_as_they_were_loaded(tmp_path: Path) -> None:
    project = make.project("sums")
    load(project, tmp_path)
    for solution in one_by_one(project):
        shown = page(signed_in(make.ann(project)), project)
        found = [html.unescape(text) for text in re.findall(r'<div class="text"[^>]*>(.*?)</div>', shown, re.S)]
        assert (found[0], found[1:]) in STORED
        label(project, *[1] * len(solution.steps), finish_reason="solution")


def test_a_conversion_keeps_every_text(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row | {"ratings": [1]}) + "\n" for row in ROWS))
    forms = {"in.jsonl": "", "a.csv": "generic", "b.parquet": "generic", "c.jsonl.gz": "generic", "d.jsonl": "trainer"}
    for source, name in itertools.pairwise(forms):
        assert main(["convert", str(tmp_path / source), str(tmp_path / name), "--to", forms[name]]) == 0
    rows = map(json.loads, (tmp_path / "d.jsonl").read_text().removesuffix("\n").split("\n"))
    assert [(row["problem"], row["steps"]) for row in rows] == STORED


def test_a_reason_and_an_own_step_are_kept_as_they_were_written(short: list[str]) -> None:
    project = make.project("sums", alternatives_after_error=True)
    make.batch(project, [make.solution(make.problem(project), ["So it is.", "Yes."]) for _ in short])
    ann = signed_in(make.ann(project))
    for text in short:
        held = claim(page(ann, project))
        ratings: list[dict[str, Any]] = [{"step": 0, "rating": -1}, {"step": 0, "rating": None, "text": f"|{text}|"}]
        sent = submission(held["token"], ratings, reason=text, finish_reason="found_error", submission_id=str(uuid.uuid4()))
        answer = post(ann, "submit", held["assignment"], sent)
        assert answer.status_code == 200, (text, answer.content[:300])
    assert list(Annotation.objects.order_by("pk").values_list("reason", flat=True)) == short
    assert sorted(StepAlternative.objects.values_list("text", flat=True)) == sorted(f"|{text}|" for text in short)


def test_a_message_is_kept_as_it_was_written(short: list[str]) -> None:
    project = make.project("sums")
    make.ann(project)
    olga = signed_in(make.olga(project))
    for text in short:
        assert olga.post(reverse("messages", args=["sums"]), {"to": "ann", "text": text}).status_code == 302, text
    kept = list(Message.objects.order_by("pk").values_list("text", flat=True))
    assert kept == [text.replace("\r\n", "\n").strip() for text in short]
