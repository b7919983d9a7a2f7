"""Imports: a file is checked, then loaded by one worker, whole or not at all, whatever is killed, stopped or cancelled meanwhile."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from annotation import hearts, holders, imports, ingest, tasks
from annotation.imports import states
from annotation.models import Event, Import, ImportState, Problem, Project, Solution
from tests import make
from tests.annotation.test_formats import GENERIC
from tests.children import ended, fork
from tests.waiting import until
from trainer.progress import Stopped

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The imports of which a worker was told."""
    told: list[int] = []
    for module in (states, imports.uploading):  # type: ignore[attr-defined]
        monkeypatch.setattr(module, "notify_worker", told.append)
    return told


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def olga(project: Project) -> User:
    return make.olga(project)


def lines(count: int, *, bad: tuple[int, ...] = ()) -> list[bytes]:
    """A file of solutions; some lines have a step that is no text."""
    rows = [{**GENERIC, "problem": f"p{number}"} for number in range(1, count + 1)]
    for number in bad:
        rows[number - 1]["steps"] = [7]
    return [json.dumps(row).encode() + b"\n" for row in rows]


def uploaded(project: Project, content: list[bytes], **options: Any) -> Import:
    return imports.receive(project, content, name="a file.jsonl", actor=make.olga(project), options=imports.Options(**options))


def checked(project: Project, content: list[bytes], **options: Any) -> Import:
    import_ = uploaded(project, content, **options)
    assert (done := imports.run(import_.pk)) is not None
    return done


def files(home: Path) -> list[Path]:
    return [path for path in (home / "imports").rglob("*") if path.is_file()] if (home / "imports").exists() else []


def test_a_file_is_checked_then_loaded_and_its_copy_is_deleted(project: Project, olga: User, home: Path, offered: list[int]) -> None:
    import_ = checked(project, lines(30))
    assert import_.state == ImportState.CHECKED and Problem.objects.count() == 0
    findings = imports.findings_of(import_)
    assert findings and (findings.counts["problems"], findings.counts["solutions"], findings.n_faults) == (30, 30, 0)
    assert [example["statement"] for example in findings.examples] == ["p1", "p7", "p13", "p19", "p25"]
    assert findings.examples[0]["steps"] == list(GENERIC["steps"]) and files(home)
    imports.load(import_, actor=olga)
    assert (done := imports.run(import_.pk)) is not None
    assert (done.state, done.path, Solution.objects.count(), files(home)) == (ImportState.DONE, "", 30, [])
    assert done.report.startswith("generic, 30 lines: 30 new problems")
    assert offered == [import_.pk, import_.pk]
    verbs = list(Event.objects.filter(subject=f"import {import_.pk}").order_by("pk").values_list("verb", "actor", "project"))
    assert verbs == [(verb, olga.pk, project.pk) for verb in ("upload file", "load file", "import")]


def test_every_wrong_line_is_named_and_the_file_is_not_loaded(project: Project, olga: User) -> None:
    import_ = checked(project, lines(60, bad=(3, 40, 59)))
    findings = imports.findings_of(import_)
    assert findings and [place for place, _, _ in findings.faults] == ["line 3", "line 40", "line 59"]
    assert findings.n_faults == 3 and findings.counts["solutions"] == 57
    with pytest.raises(imports.ImportRefused, match="Repair them"):
        imports.load(import_, actor=olga)
    import_.refresh_from_db()
    assert import_.state == ImportState.CHECKED


def test_of_very_many_wrong_lines_fifty_are_named_and_all_are_counted(project: Project) -> None:
    findings = imports.findings_of(checked(project, lines(80, bad=tuple(range(1, 81)))))
    assert findings and (len(findings.faults), findings.n_faults) == (50, 80)


def test_a_line_that_is_no_json_ends_the_check_and_is_named(project: Project) -> None:
    findings = imports.findings_of(checked(project, [*lines(300), b"{\n", *lines(5)]))
    assert findings and [place for place, _, _ in findings.faults] == ["line 301, where the check ended"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([b"PK\x03\x04 a zip"], "is a zip archive"),
        ([b'{"neither": 1}\n'], "unknown format"),
        ([b"   \n"], "the file is empty"),
        ([*lines(3), b"{\n"], "line 4: "),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_the_sentence_of_the_command(project: Project, content: list[bytes], reason: str) -> None:
    import_ = checked(project, content)
    assert import_.state == ImportState.FAILED and reason in import_.failure and import_.failure.endswith(".")


def test_another_way_to_cut_is_checked_again_before_the_load(project: Project, olga: User) -> None:
    text = "First.\nSecond.\n\nThird.\n\n# Answer\n\n5"
    row = json.dumps({"problem": "p", "answer": "5", "solution": text}).encode()
    import_ = checked(project, [row], steps_by="paragraphs")
    before = imports.findings_of(import_)
    imports.check_again(import_, imports.Options(steps_by="lines"), actor=olga)
    assert (again := imports.run(import_.pk)) is not None
    after = imports.findings_of(again)
    assert before and after and (len(before.examples[0]["steps"]), len(after.examples[0]["steps"])) == (2, 3)
    imports.load(again, actor=olga)
    imports.run(import_.pk)
    assert len(Solution.objects.get().steps) == 3


def test_too_many_broken_steps_are_refused_until_they_are_allowed(project: Project, olga: User) -> None:
    row = json.dumps({**GENERIC, "steps": ["It is $5.", "\\[ x", "5\n\n# Answer\n\n5"]}).encode()
    import_ = checked(project, [row])
    with pytest.raises(imports.ImportRefused, match="broken"):
        imports.load(import_, actor=olga)
    imports.check_again(import_, imports.Options(allow_broken=True), actor=olga)
    assert (again := imports.run(import_.pk)) is not None
    imports.load(again, actor=olga)
    assert (done := imports.run(import_.pk)) is not None and done.state == ImportState.DONE


def test_problems_without_solutions_are_loaded_as_problems(project: Project, olga: User, samples: Path) -> None:
    import_ = checked(project, [(samples / "math/math500.jsonl").read_bytes()])
    findings = imports.findings_of(import_)
    assert findings and not findings.has_solutions
    imports.load(import_, actor=olga)
    imports.run(import_.pk)
    assert Problem.objects.count() == findings.counts["problems"] > 0


# --- stops, kills and two at once -----------------------------------------------------------------------------------------------


def at_report(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something at the first report of the load's progress."""
    advance, left = hearts.Heart.advance, [True]

    def reported(heart: hearts.Heart, *arguments: Any) -> None:
        if left:
            left.clear()
            act(heart)
        advance(heart, *arguments)

    monkeypatch.setattr(hearts.Heart, "advance", reported)


def loading(project: Project, count: int = 3_000) -> Import:
    import_ = checked(project, lines(count))
    imports.load(import_, actor=make.olga(project))
    return import_


def in_thread(act: Any) -> None:
    """Do something on another connection, as another process would."""

    def doing() -> None:
        act()
        connection.close()

    thread = threading.Thread(target=doing)
    thread.start()
    thread.join()


def test_a_cancelled_load_stores_nothing_and_can_be_resumed(project: Project, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = loading(project)
    with monkeypatch.context() as patch:
        at_report(patch, lambda heart: in_thread(lambda: imports.cancel(Import.objects.get(pk=import_.pk), actor=olga)))
        assert (cancelled := imports.run(import_.pk)) is not None
    assert (cancelled.state, Problem.objects.count()) == (ImportState.CANCELLED, 0)
    imports.resume(cancelled, actor=olga)
    assert (done := imports.run(import_.pk)) is not None
    assert (done.state, Solution.objects.count()) == (ImportState.DONE, 3_000)


def test_a_load_whose_worker_is_killed_stores_nothing_and_goes_on_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, offered: list[int]
) -> None:
    import_ = loading(project)
    with monkeypatch.context() as patch:
        at_report(patch, lambda heart: os.kill(os.getpid(), signal.SIGKILL))
        assert ended(fork(lambda: imports.run(import_.pk))) == -signal.SIGKILL
    assert Problem.objects.count() == 0
    offered.clear()
    assert imports.offer_abandoned() == [import_.pk] == offered
    assert (done := imports.run(import_.pk)) is not None
    assert (done.state, done.attempt, Solution.objects.count()) == (ImportState.DONE, 2, 3_000)


def test_an_import_whose_worker_was_lost_three_times_fails_and_says_so(project: Project, offered: list[int]) -> None:
    import_ = loading(project, 3)
    Import.objects.filter(pk=import_.pk).update(attempt=holders.ATTEMPTS)
    assert imports.sweep() == []
    import_.refresh_from_db()
    assert import_.state == ImportState.FAILED and "lost 3 times" in import_.failure


def test_a_stopped_worker_gives_its_import_back_and_no_attempt_is_counted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = loading(project)

    def stop(heart: hearts.Heart) -> None:
        heart.stop.number = signal.SIGTERM

    with monkeypatch.context() as patch:
        at_report(patch, stop)
        with pytest.raises(Stopped):
            imports.run(import_.pk)
    import_.refresh_from_db()
    assert (import_.state, import_.heartbeat_at, import_.attempt, Problem.objects.count()) == (ImportState.LOADING, None, 0, 0)
    assert (done := imports.run(import_.pk)) is not None and done.state == ImportState.DONE


def test_a_worker_stopped_while_it_claims_an_import_gives_it_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import_, own_name, before = loading(project), holders.own_name, signal.getsignal(signal.SIGTERM)

    def stopped() -> str:
        signal.raise_signal(signal.SIGTERM)
        return own_name()

    monkeypatch.setattr(holders, "own_name", stopped)
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody takes the import back"))
    try:
        with pytest.raises(Stopped):
            imports.run(import_.pk)
    finally:
        signal.signal(signal.SIGTERM, before)
    import_.refresh_from_db()
    assert (import_.state, import_.heartbeat_at, import_.attempt) == (ImportState.LOADING, None, 0)


def test_of_two_workers_at_the_same_moment_one_loads(project: Project) -> None:
    import_ = loading(project, 50)
    results = make.at_once([lambda: imports.run(import_.pk)] * 2)
    assert Solution.objects.count() == 50
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert Import.objects.get(pk=import_.pk).attempt == 1


def test_a_second_import_waits_for_the_first_and_is_offered_when_it_ends(
    project: Project, monkeypatch: pytest.MonkeyPatch, offered: list[int]
) -> None:
    first, second = loading(project, 20), loading(project, 30)
    offered.clear()
    seen: list[Any] = []
    with monkeypatch.context() as patch:
        at_report(patch, lambda heart: in_thread(lambda: seen.append(imports.run(second.pk))))
        imports.run(first.pk)
    assert seen == [None] and offered == [second.pk]


def test_a_message_that_comes_twice_loads_once(project: Project) -> None:
    import_ = loading(project, 5)
    imports.run(import_.pk)
    tasks.run_import(import_.pk)
    assert Solution.objects.count() == 5 and Event.objects.filter(verb="import").count() == 1


def test_progress_is_seen_by_others_while_the_load_is_one_transaction(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = loading(project, 20)
    monkeypatch.setattr(hearts, "HEARTBEAT_SECONDS", 0.01)
    seen: list[dict[str, Any]] = []

    def look(heart: hearts.Heart) -> None:
        heart.progress = {"stage": "reading", "done": 1, "total": 2}
        until(lambda: seen.append(Import.objects.using("default").get(pk=import_.pk).progress) or seen[-1], what="progress is written")

    at_report(monkeypatch, look)
    imports.run(import_.pk)
    assert seen[-1] == {"stage": "reading", "done": 1, "total": 2} and Import.objects.get(pk=import_.pk).progress == {}


def test_of_two_managers_who_load_and_check_again_one_is_told_that_nothing_was_done(project: Project, olga: User) -> None:
    import_ = checked(project, lines(5))
    stale = Import.objects.get(pk=import_.pk)
    imports.load(import_, actor=olga)
    with pytest.raises(imports.ImportRefused, match="somebody else"):
        imports.check_again(stale, imports.Options(steps_by="lines"), actor=olga)
    import_.refresh_from_db()
    assert import_.state == ImportState.LOADING and import_.options["steps_by"] == ingest.AUTO


# --- uploads ------------------------------------------------------------------------------------------------------------------


def test_a_deleted_upload_cannot_be_resumed(project: Project, olga: User, home: Path) -> None:
    import_ = checked(project, lines(5))
    imports.discard(import_, actor=olga)
    import_.refresh_from_db()
    assert files(home) == [] and import_.state == ImportState.CANCELLED
    with pytest.raises(imports.ImportRefused):
        imports.resume(import_, actor=olga)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "a/b/c.csv", "\0.jsonl", "." * 300, "ä" * 300 + ".csv", ""])
def test_no_name_of_a_file_leads_out_of_its_folder(project: Project, home: Path, name: str) -> None:
    import_ = imports.receive(project, [b"x"], name=name, actor=make.olga(project))
    assert files(home) == [home / import_.path] and (home / import_.path).parent.parent == home / "imports"


def test_an_empty_or_too_large_file_is_refused_and_leaves_nothing(project: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports.uploading, "MEGABYTES", 1)  # type: ignore[attr-defined]

    def pieces() -> Iterator[bytes]:
        yield from [b"x" * 600_000] * 2

    for content, words in ((iter([b""]), "is empty"), (pieces(), "larger than 1 MB")):
        with pytest.raises(imports.ImportRefused, match=words):
            imports.receive(project, content, name="a.jsonl", actor=make.olga(project))
    assert files(home) == [] and Import.objects.count() == 0


def test_an_upload_that_breaks_off_leaves_nothing(project: Project, home: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        imports.receive(project, broken(), name="a.jsonl", actor=make.olga(project))
    assert list((home / "imports").iterdir()) == [] and Import.objects.count() == 0


def test_labels_of_another_tool_are_read_by_the_names_that_the_page_gives(project: Project, olga: User) -> None:
    stars = Path(__file__).resolve().parent.parent / "data" / "label_studio" / "stars_per_step.json"
    import_ = checked(project, [stars.read_bytes()])
    ((_, reason, remedy),) = states.FileFindings(**import_.findings).faults
    assert "is 3 on a scale" in reason and "--map good=4,5" in remedy
    imports.check_again(import_, imports.Options(mapping="good=4,5\r\nneutral=3"), actor=olga)
    assert (again := imports.run(import_.pk)) is not None and not again.findings["n_faults"]
    imports.load(again, actor=olga)
    assert (done := imports.run(import_.pk)) is not None and "1 new annotation" in done.report


def test_names_that_mean_nothing_are_refused_on_the_page(project: Project, olga: User, client: Client) -> None:
    stars = Path(__file__).resolve().parent.parent / "data" / "label_studio" / "stars_per_step.json"
    import_ = checked(project, [stars.read_bytes()])
    client.force_login(olga)
    address = f"/p/{project.slug}/data/imports/{import_.pk}/check/"
    answer = client.post(address, {"token": import_.token, "steps_by": "auto", "labels": "annotations", "mapping": "colour=red"})
    assert answer.status_code == 400 and "The mapping &#x27;colour&#x27; is not known." in answer.content.decode()
    assert "such as “Names in the file” good=4,5 neutral=3 bad=1,2" in answer.content.decode()  # as the command says it with --map
