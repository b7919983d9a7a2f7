"""Uploads by the client: chunks that are stored once, lines counted over the whole, and everything that lines can come in."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stepmark_client import BadLines, Stepmark, Unreachable, uploads

from annotation.api.loading import SENT_BYTES
from annotation.ingest.upserting import MOST_LINES
from annotation.models import Problem, Project, Solution
from tests import make
from tests.client.conftest import Line

pytestmark = pytest.mark.django_db
Enter = Callable[..., Stepmark]


def sum_line(number: int, **fields: Any) -> dict[str, Any]:
    answer = number + 1
    steps = [f"{number} + 1 is {answer}.", f"So it is {answer}.\n\n# Answer\n\n{answer}"]
    return {"id": f"sum-{number}", "problem": f"What is {number} + 1?", "answer": str(answer), "steps": steps, **fields}


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send two lines with each request."""
    monkeypatch.setattr(uploads, "CHUNK_LINES", 2)


def file_of(folder: Path, *lines: Any, name: str = "solutions.jsonl") -> Path:
    path = folder / name
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_an_upload_of_several_chunks_stores_all_and_counts_all(enter: Enter, line: Line, pairs: None) -> None:
    told: list[tuple[str, int, int | None]] = []
    done = enter().project("sums").solutions.upload([sum_line(n) for n in range(5)], source="m", progress=lambda *now: told.append(now))
    assert (done.lines, done.new_problems, done.new_solutions, done.outcomes["correct"], done.n_requests) == (5, 5, 5, 5, 3)
    assert told == [("upload", 2, 5), ("upload", 4, 5), ("upload", 5, 5)] and len(set(line.keys())) == 3
    assert Solution.objects.filter(source="m").count() == 5


def test_the_lines_that_failed_are_counted_over_the_whole_file(enter: Enter, pairs: None, tmp_path: Path) -> None:
    path = file_of(tmp_path, sum_line(1), "", sum_line(2), sum_line(3), "   ", "{", sum_line(4))
    with pytest.raises(BadLines) as refused:
        enter().project("sums").solutions.upload(path)
    assert [fault["line"] for fault in refused.value.errors] == [6] and "line 6: " in str(refused.value)
    assert (
        refused.value.uploaded
        and refused.value.uploaded.new_solutions == 2
        and refused.value.detail.startswith("Lines 4 to 6: 1 of them is wrong, so none of them is stored. The 2 lines before are stored.")
    )
    assert Solution.objects.count() == 2


def test_the_first_chunk_that_is_refused_says_nothing_of_lines_before(enter: Enter) -> None:
    with pytest.raises(BadLines) as refused:
        enter().project("sums").solutions.upload([{"problem": "What?"}])
    assert "before" not in refused.value.detail and not Problem.objects.exists()


def test_wrong_lines_are_left_out_and_named_by_their_place_in_the_whole(enter: Enter, pairs: None) -> None:
    lines = [sum_line(1), {"steps": ["a"]}, sum_line(2), sum_line(3), {"problem": "What?"}]
    done = enter().project("sums").solutions.upload(lines, wrong="skip")
    assert [one.line for one in done.skipped] == [2, 5] and (done.n_skipped, done.new_solutions, done.lines) == (2, 3, 5)


def test_an_upload_that_broke_off_is_run_again_without_doing_anything_twice(enter: Enter, line: Line, pairs: None) -> None:
    project, lines = enter(retries=0).project("sums"), [sum_line(n) for n in range(5)]
    line.lost = [False, False, True]  # the details of the project, the first chunk, the second one after it was stored
    with pytest.raises(Unreachable):
        project.solutions.upload(iter(lines))
    assert Solution.objects.count() == 4
    done = project.solutions.upload(iter(lines))
    assert (done.n_repeated, done.n_requests, done.new_solutions) == (2, 3, 5) and Solution.objects.count() == 5


def test_the_same_lines_are_uploaded_to_a_project_that_was_made_anew(enter: Enter, sums: Project) -> None:
    project = enter().project("sums")
    project.solutions.upload([sum_line(1)])
    Solution.objects.all().delete()
    Problem.objects.all().delete()
    sums.membership_set.all().delete()
    sums.delete()
    make.olga(make.project(text_kind="plain"))
    done = project.solutions.upload([sum_line(1)])
    assert (done.n_repeated, done.new_solutions) == (0, 1) and Solution.objects.exists()


def test_what_is_asked_of_the_same_lines_makes_them_another_upload(enter: Enter, line: Line) -> None:
    project = enter().project("sums")
    project.solutions.upload([sum_line(1)])
    project.solutions.upload([sum_line(1)], source="other")
    project.problems.upload([{"problem": "What is 1 + 1?"}])
    project.problems.upload([{"problem": "What is 1 + 1?"}], wrong="skip")
    assert len(set(line.keys())) == 4


def test_tasks_of_another_tool_are_uploaded_with_their_labels(enter: Enter) -> None:
    given = {"id": "a", "problem": "p", "steps": ["One."], "label_annotations": {"step_1": {"odd": "true"}}}
    done = enter().project("sums").solutions.upload([given], line_format="potato", mapping=["bad=odd", "ratings=step"])
    assert (done.new_solutions, done.annotations, done.new_annotations) == (1, 1, 1)


def test_a_packed_file_is_uploaded(enter: Enter, tmp_path: Path) -> None:
    done = enter().project("sums").solutions.upload(str(file_of(tmp_path, sum_line(1), sum_line(2), name="solutions.jsonl.gz")))
    assert done.new_solutions == 2


def test_a_table_is_uploaded_without_its_empty_cells(enter: Enter) -> None:
    rows = [sum_line(1, level="5"), sum_line(2) | {"answer": None}]
    table = pd.DataFrame(rows)
    table["steps"] = [np.array(row["steps"], dtype=object) for row in rows]
    assert enter().project("sums").solutions.upload(table).new_solutions == 2
    assert list(Problem.objects.order_by("external_id").values_list("level", "answer")) == [("5", "2"), ("", None)]


def test_lines_that_no_request_could_hold_are_refused_before_anything_is_sent(enter: Enter, line: Line, tmp_path: Path) -> None:
    solutions = enter().project("sums").solutions
    for lines, words in (
        ({"problem": "What?"}, "Give a path"),
        (7, "Give a path"),
        ([{"problem": "What?", "level": float("nan")}], "Line 1 cannot"),
        ([{"problem": {1, 2}}], "Line 1 cannot"),
        (tmp_path / "solutions.parquet", "pandas.read_parquet"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            solutions.upload(lines)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        solutions.upload(tmp_path / "missing.jsonl")
    assert line.keys() == []


def test_chunks_end_at_the_limits_of_the_site_and_hold_each_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "CHUNK_BYTES", 10)
    lines = [b"12345\n", b"123\n", b"1\n", b"123456789012\n", b"1\n"]
    cut = list(uploads.chunks(enumerate(lines, start=1)))
    assert [one.numbers for one in cut] == [[1, 2], [3], [4], [5]] and b"".join(one.content for one in cut) == b"".join(lines)


def test_the_limits_of_a_chunk_are_within_those_of_the_site() -> None:
    packed_worst = uploads.CHUNK_BYTES + uploads.CHUNK_BYTES // 1000 + 100
    assert packed_worst <= SENT_BYTES and uploads.CHUNK_LINES <= MOST_LINES
