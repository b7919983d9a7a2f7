"""The log: each line has a time, a level and a request id, as text or as JSON. It does not quote what people wrote."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django import db
from django.test import Client
from django.urls import reverse

from annotation import labels
from labelapp.celery import app
from labelapp.monitoring import logs
from labelapp.monitoring.gunicorn_logger import GunicornLogger
from tests import make
from tests.clients import claim, page, rated, signed_in, submission

SECRET = "Janet's ducks lay 16 eggs"
TOKEN = "AAAAAc3VwZXJzZWNyZXQ"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \[([\w.-]+)\] [\w.]+: .+")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> io.StringIO:
    """What the site writes into its log, in the format that the test asks for."""
    monkeypatch.setenv("LOG_FORMAT", getattr(request, "param", "text"))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter())
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    return stream


def fail_with(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.django_db
@pytest.mark.parametrize("written", ["text", "json"], indirect=True)
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"invalid literal for int(): {SECRET!r}"),
        KeyError(SECRET),
        RuntimeError(f"{SECRET} {TOKEN}"),
        db.DataError(f'invalid input syntax for type integer: "{SECRET}"'),
        db.IntegrityError(f"new row violates check constraint\nDETAIL:  Failing row contains (1, {SECRET})."),
        db.OperationalError(f"deadlock detected\nCONTEXT:  while inserting {SECRET}"),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_forced_error_of_a_labeled_solution_writes_no_text_and_no_token(
    written: io.StringIO, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make.project("sums")
    make.batch(project, [make.solution(make.problem(project, statement=SECRET), [SECRET, "So it is."])])
    ann = signed_in(make.ann(project))
    ann.raise_request_exception = False
    lease = claim(page(ann, project))
    monkeypatch.setattr(labels, "submit", fail_with(error))
    address = f"{reverse('submit', args=[lease['assignment']])}?sesame={TOKEN}"
    body = submission(lease["token"], rated(1, -1), reason=SECRET)
    assert ann.post(address, body, content_type="application/json").status_code in (500, 503)
    ann.get(f"/sign-in/link/no-such/?sesame={TOKEN}&next=/{SECRET}")
    assert "/submit/" in written.getvalue() and type(error).__name__ in written.getvalue()
    assert SECRET not in written.getvalue() and TOKEN not in written.getvalue() and ann.session.session_key not in written.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("written", ["text"], indirect=True)
def test_every_line_has_time_level_and_the_id_that_the_answer_and_the_page_name(
    written: io.StringIO, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("annotation.views.person.keys", None)
    client.force_login(make.ann(make.project("sums")))
    answer = client.get("/keys/")
    assert answer.status_code == 500
    name = answer["X-Request-ID"]
    first = written.getvalue().splitlines()[0]
    assert LINE.fullmatch(first) and LINE.fullmatch(first)[2] == name  # type: ignore[index]
    assert f"<code>{name}</code>" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("0123456789abcdef", True),
        ("a-b_c.d-1234", True),
        ("7", False),
        ("x" * 65, False),
        ("two words here", False),
        ("<script>alert</script>", False),
        ('","level":"x', False),
        ("-starts-with-a-dash", False),
        ("", False),
    ],
)
def test_a_request_id_is_taken_over_only_if_it_is_well_formed(client: Client, given: str, is_kept: bool) -> None:
    answer = client.get("/sign-in/", headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is is_kept and answer["X-Request-ID"]


@pytest.mark.parametrize("written", ["json"], indirect=True)
def test_json_is_one_object_a_line_with_the_traceback_in_it(written: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("annotation.export").exception("The export of %s failed.", "sums", extra={"request": SECRET})
    (line,) = written.getvalue().splitlines()
    parts = json.loads(line)
    assert parts["level"] == "ERROR" and parts["logger"] == "annotation.export" and parts["message"] == "The export of sums failed."
    assert parts["error"].startswith("Traceback (most recent call last):\n") and "test_logs.py" in parts["error"]
    assert "ValueError (its text is left out: 25 characters)" in parts["error"] and SECRET not in line


def test_all_errors_are_quoted_when_somebody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_ERROR_TEXTS", "1")
    assert logs.brief(ValueError(SECRET)) == f"ValueError: {SECRET}"


def test_causes_are_traced_with_the_first_cause_first() -> None:
    try:
        try:
            raise OSError(2, "No such file or directory", "/models/1")
        except OSError as cause:
            raise RuntimeError(SECRET) from cause
    except RuntimeError as error:
        text = logs.trace(error)
    assert text.index("FileNotFoundError: [Errno 2] No such file or directory: '/models/1'") < text.index(
        "RuntimeError (its text is left out"
    )
    assert text.count("Traceback") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /sign-in/link/?sesame=abc HTTP/1.1", "GET /sign-in/link/?… HTTP/1.1"),
        ("Error handling request /p/sums/labels/?q=a+text&page=2", "Error handling request /p/sums/labels/?…"),
        ("https://label.example.org/?sesame=abc", "https://label.example.org/?…"),
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer …"),
        ("sesame=abc and password=hunter2", "sesame=… and password=…"),
        ("Conflict: /invitations/AbC_-0123456789/ and /x/set-up/0123456789", "Conflict: /invitations/…/ and /x/set-up/…"),
        ("Is it ready? Yes", "Is it ready? Yes"),
        ("3 tokens of 17 seconds", "3 tokens of 17 seconds"),
    ],
)
def test_queries_passwords_and_tokens_are_cut_out(text: str, expected: str) -> None:
    assert logs.scrub(text) == expected


def test_a_failed_task_of_a_worker_is_logged_without_what_it_worked_on(written: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        context = {"name": "active_learning.tasks.run_round", "id": "6f9", "exc": repr(error), "args": f"[{SECRET!r}]"}
        logging.getLogger("celery.app.trace").error("Task %(name)s[%(id)s] raised: %(exc)s", context, exc_info=sys.exc_info())
    assert "Task active_learning.tasks.run_round[6f9] raised: ValueError (its text is left out" in written.getvalue()
    assert SECRET not in written.getvalue()


def test_each_line_about_a_task_has_its_id(written: io.StringIO) -> None:
    @app.task(name="tests.write_a_line")
    def write_a_line() -> None:
        logging.getLogger("annotation").warning("from a task")

    done = write_a_line.apply()
    logging.getLogger("annotation").warning("from nobody")
    first, *_, second = written.getvalue().splitlines()
    assert f"[{done.id}] annotation: from a task" in first and "[-] annotation: from nobody" in second


def test_lines_of_the_processes_are_merged_without_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "text")
    ours = "2026-11-26T07:28:18.123Z WARNING [-] annotation: a line"
    assert logs.merged("web", ours) == ours
    assert logs.merged("web", "  File one.py, line 2") == "  File one.py, line 2"
    assert re.fullmatch(r"\S+Z INFO \[-\] a plain line", logs.merged("web", "a plain line"))


def test_lines_of_the_processes_are_merged_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    assert json.loads(logs.merged("web", '{"level": "WARNING", "message": "x"}')) == {"level": "WARNING", "message": "x", "process": "web"}
    plain: dict[str, Any] = json.loads(logs.merged("trainer", "Killed: 9"))
    assert (plain["message"], plain["process"], plain["level"]) == ("Killed: 9", "trainer", "INFO") and plain["time"]


def test_gunicorn_writes_lines_of_the_same_form(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from gunicorn.config import Config

    monkeypatch.setenv("LOG_FORMAT", "text")
    logger = GunicornLogger(Config())
    logger.error("Error handling request %s", f"/sign-in/link/?sesame={TOKEN}")
    (line,) = capsys.readouterr().err.splitlines()
    assert LINE.fullmatch(line) and line.endswith("/sign-in/link/?…")
