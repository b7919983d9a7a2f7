"""Every snippet of the client's README, and of docs/api.md, is run in its order against a live server."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import celery
import pytest
from django.db import connection
from django.utils import timezone

from active_learning import rounds
from active_learning.models import Score, ScoreJob, ScoreJobItem
from annotation import export
from annotation.models import SolutionConsensus, Task
from tests import make
from tests.api import token_for
from tests.client.test_client_uploads import sum_line
from tests.doors import Door
from tests.verdicts import judged

README = Path(__file__).resolve().parents[2] / "clients" / "python" / "README.md"
ABOUT_THE_API = README.parents[2] / "docs" / "api.md"


def snippets(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S)


class Workers:
    """Stands for the workers: runs what was sent to them in a thread of its own. It scores by no model: each step is right with 0.9."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def send(self, _: celery.Celery, name: str, args: list[int] | None = None, **__: Any) -> None:
        act = {
            "active_learning.tasks.run_round": rounds.run,
            "active_learning.tasks.run_score_job": self.score,
            "annotation.tasks.run_order": export.run_order,
        }.get(name)
        if act and args:
            self.threads.append(threading.Thread(target=self.run, args=(act, *args)))
            self.threads[-1].start()

    def wait(self) -> None:
        """Wait until all that was sent so far has been done."""
        for thread in self.threads:
            thread.join()

    def run(self, act: Callable[[int], object], key: int) -> None:
        try:
            act(key)
        finally:
            connection.close()

    def score(self, job_id: int) -> None:
        ScoreJobItem.objects.filter(job=job_id).update(score=0.81, probabilities=[[0.1, 0.2, 0.7]] * 2)
        ScoreJob.objects.filter(pk=job_id).update(state="done", finished_at=timezone.now())


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    made = Workers()
    monkeypatch.setattr(celery.Celery, "send_task", lambda *told, **more: made.send(*told, **more))
    yield made
    made.wait()


def test_every_snippet_about_the_client_runs(
    live_server: Any, door: Door, workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make.project(text_kind="plain")
    solutions = make.solutions(project, 12)
    judged(solutions[0], "ann", 1)
    SolutionConsensus.objects.create(solution=solutions[0], project=project, first_mistake=1, n_readings=1, settled_at=timezone.now())
    version = make.version(project, 1, champion=True)
    make.score_table(version)
    Score.objects.create(model_version=version, solution_id=solutions[0].pk, problem_id=1, score=0.25, outcome="wrong")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solutions.jsonl").write_text("".join(json.dumps(sum_line(n)) + "\n" for n in range(3)))
    monkeypatch.setenv("STEPMARK_TOKEN", token_for(make.olga(project), scope="write"))
    monkeypatch.setattr("stepmark_client.work.time", SimpleNamespace(sleep=lambda _: workers.wait(), monotonic=lambda: 0.0))
    names: dict[str, Any] = {}
    shorter: dict[str, Any] = {"token": os.environ["STEPMARK_TOKEN"]}
    for document, known in ((README, names), (ABOUT_THE_API, shorter)):
        for number, snippet in enumerate(snippets(document), start=1):
            exec(compile(snippet.replace("http://127.0.0.1:8000", live_server.url), f"snippet {number} of {document.name}", "exec"), known)
    names["site"].close()
    shorter["project"].solutions._api.close()
    said = capsys.readouterr().out
    for words in (
        "olga owner", "3 of 3 lines", "3 new, outcomes: {'correct': 3}", "1 left out: [(2, ", "proposed 0 None", "proposed\n",
        "'cancelled')]", "0.81 [0.1, 0.1]", "bytes in data", "0 labels since then", "not_found", "['ann', 'olga']",
    ):  # fmt: skip
        assert words in said, said
    assert len(snippets(README)) >= 10 and len(names["labels"]) == len(shorter["labels"]) == 2
    assert Task.objects.filter(batch__round__state="published").count() == 10
