"""While a part of the site is missing, every address answers 503 with a code, and the next request after its return works."""

import errno
import shutil
from collections.abc import Iterator
from typing import Any

import kombu.exceptions
import psycopg
import pytest
from django import db
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from psycopg import errors

from annotation import labels
from annotation.models import Project
from labelapp.http import outages
from labelapp.postgresql.base import DatabaseWrapper
from tests import make
from tests.addresses import ADDRESSES, SIGN_OUT
from tests.clients import claim, page, post, rated, signed_in, submission

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def refuse(*_: object, **__: object) -> None:
    raise db.OperationalError("connection refused") from psycopg.OperationalError("connection refused")


@pytest.fixture
def olga(client: Client) -> Client:
    """Somebody who gets into every page."""
    person = make.olga(make.project("sums"))
    person.is_staff = person.is_superuser = True
    person.save()
    client.force_login(person)
    client.raise_request_exception = False
    return client


@pytest.fixture
def gone(olga: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """No statement reaches the database, and no connection opens."""
    monkeypatch.setattr(DatabaseWrapper, "_cursor", refuse)
    monkeypatch.setattr(DatabaseWrapper, "get_new_connection", refuse)
    return olga


def is_told(answer: Any) -> bool:
    return answer.status_code == 503 and answer["Retry-After"] == "5" and answer[outages.CODE_HEADER] == "database_unavailable"


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_address_answers_503_while_the_database_is_gone(gone: Client, method: str) -> None:
    send = getattr(gone, method)
    asked = sorted({*ADDRESSES, *SIGN_OUT, "/no/such/page/"})
    assert len(asked) > 80
    assert [address for address in asked if not is_told(send(address, headers={"accept": HTML}))] == []


@pytest.mark.django_db
def test_every_background_request_gets_a_code_as_json(gone: Client) -> None:
    for name in ("draft", "submit", "skip", "ahead", "release", "extend", "completions", "revise"):
        answer = gone.post(reverse(name, args=[1]), {}, content_type="application/json")
        assert is_told(answer) and answer.json()["code"] == "database_unavailable" and "Nothing is lost." in answer.json()["message"]


@pytest.mark.django_db
def test_a_page_says_that_it_comes_back_and_loads_again_by_itself(gone: Client) -> None:
    html = gone.get("/p/sums/", headers={"accept": HTML}).content.decode()
    assert "Back in a moment" in html and "This page loads again by itself." in html
    assert 'src="/static/js/again.js" data-seconds="5"' in html
    assert "Sign out" not in html  # it asked for no session


@pytest.mark.django_db
def test_a_form_is_not_sent_again_by_itself_and_says_what_became_of_it(gone: Client) -> None:
    html = gone.post("/keys/", {"negative": "x"}, headers={"accept": HTML}).content.decode()
    assert "was probably not saved. Go back and send it again." in html
    assert "again.js" not in html and "refresh" not in html


@pytest.mark.django_db
def test_an_outage_keeps_to_the_security_policy_and_to_no_cache(gone: Client) -> None:
    answer = gone.get("/", headers={"accept": HTML})
    assert "default-src 'none'" in answer["Content-Security-Policy"] and answer["X-Frame-Options"] == "DENY"
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_fragment_of_a_page_gets_a_code(gone: Client) -> None:
    answer = gone.get("/p/sums/rounds/", headers={"HX-Request": "true"})
    assert is_told(answer) and answer.json()["code"] == "database_unavailable"


# --- which errors mean what ----------------------------------------------------------------------------------------------


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (caused(db.OperationalError("deadlock detected"), errors.DeadlockDetected("deadlock detected")), "busy"),
        (caused(db.OperationalError("canceling"), errors.LockNotAvailable("lock timeout")), "busy"),
        (caused(db.OperationalError("canceling"), errors.QueryCanceled("statement timeout")), "busy"),
        (caused(db.OperationalError("could not serialize"), errors.SerializationFailure("x")), "busy"),
        (caused(db.InternalError("idle"), errors.IdleInTransactionSessionTimeout("x")), "busy"),
        (caused(db.OperationalError("terminating connection"), errors.AdminShutdown("x")), "database_unavailable"),
        (caused(db.OperationalError("crash"), errors.CrashShutdown("x")), "database_unavailable"),
        (caused(db.OperationalError("starting up"), errors.CannotConnectNow("x")), "database_unavailable"),
        (caused(db.OperationalError("sorry, too many clients already"), errors.TooManyConnections("x")), "database_unavailable"),
        (caused(db.OperationalError("out of memory"), errors.OutOfMemory("x")), "database_unavailable"),
        (caused(db.OperationalError("I/O error"), errors.IoError("x")), "database_unavailable"),
        (caused(db.InternalError("read-only"), errors.ReadOnlySqlTransaction("x")), "database_unavailable"),
        (caused(db.OperationalError("password"), errors.InvalidPassword("x")), "database_unavailable"),
        (db.OperationalError("connection refused"), "database_unavailable"),
        (db.InterfaceError("connection already closed"), "database_unavailable"),
        (errors.AdminShutdown("a raw error of psycopg"), "database_unavailable"),
        (caused(RuntimeError("the template failed"), db.OperationalError("gone")), "database_unavailable"),
        (caused(db.OperationalError("could not extend file"), errors.DiskFull("x")), "disk_full"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (kombu.exceptions.OperationalError("connection refused"), "broker_unavailable"),
        (ValueError("x"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
        (db.ProgrammingError("syntax error"), None),
        (db.IntegrityError("duplicate key"), None),
        (db.DataError("out of range"), None),
        (db.InternalError("current transaction is aborted"), None),
        (caused(db.OperationalError("too complex"), errors.StatementTooComplex("x")), None),
        (caused(db.OperationalError("currval"), errors.ObjectNotInPrerequisiteState("x")), None),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, Exception) else None,
)
def test_each_error_has_its_code_and_faults_of_the_program_have_none(error: Exception, code: str | None) -> None:
    outage = outages.outage_of(error)
    assert (outage and outage.code) == code


@pytest.mark.django_db
def test_a_fault_of_the_program_stays_500_and_shows_nothing(olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise db.ProgrammingError("relation secret_table does not exist")

    monkeypatch.setattr(DatabaseWrapper, "_cursor", fail)
    answer = olga.get("/p/sums/")
    assert answer.status_code == 500 and outages.CODE_HEADER not in answer
    assert "Something went wrong" in answer.content.decode() and "secret_table" not in answer.content.decode()


@pytest.mark.django_db
def test_a_full_disk_is_called_that_on_the_page(olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise db.OperationalError("could not extend file") from errors.DiskFull("No space left on device")

    monkeypatch.setattr(DatabaseWrapper, "_cursor", fail)
    answer = olga.get("/p/sums/", headers={"accept": HTML})
    assert (answer.status_code, answer[outages.CODE_HEADER], answer["Retry-After"]) == (503, "disk_full", "30")
    assert "The disk is full" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("free", "address", "code"), [(1 << 20, "", "disk_full"), (1 << 30, "", "database_unavailable"),
                                                       (1 << 20, "postgresql://db.example.org/x", "database_unavailable")])  # fmt: skip
def test_a_private_database_that_ended_because_the_disk_is_full_is_called_that(
    gone: Client, monkeypatch: pytest.MonkeyPatch, free: int, address: str, code: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", address)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, free))
    assert gone.get("/p/sums/")[outages.CODE_HEADER] == code


# --- real ones ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(transactional_db: None, project: Project) -> Iterator[tuple[Client, dict[str, Any]]]:
    """Ann holds a solution. Her requests run in this thread, on its connection."""
    ann = signed_in(make.ann(project))
    ann.raise_request_exception = False
    yield ann, claim(page(ann, project))


@pytest.fixture
def project(transactional_db: None) -> Project:
    made = make.project("sums")
    make.batch(made, make.solutions(made, 2))
    return made


def other_connection() -> psycopg.Connection[Any]:
    return psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": psycopg.Cursor, "context": None, "autocommit": True})


def test_a_backend_that_is_ended_in_the_middle_of_a_request_is_503_and_the_next_request_works(
    held: tuple[Client, dict[str, Any]], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, lease = held
    body = submission(lease["token"], rated(1, 1, 1))
    submit = labels.submit

    def end_before_it(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(labels, "submit", submit)
        with other_connection() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
        return submit(*args, **more)

    monkeypatch.setattr(labels, "submit", end_before_it)
    answer = post(ann, "submit", lease["assignment"], body)
    assert is_told(answer) and answer.json()["code"] == "database_unavailable"
    assert post(ann, "submit", lease["assignment"], body).status_code == 200


def test_a_lock_that_is_held_too_long_is_busy_and_keeps_the_connection(
    held: tuple[Client, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, lease = held
    connection.cursor().execute("SET lock_timeout = '50ms'")
    before = connection.connection.info.backend_pid
    with other_connection() as other, other.transaction():
        other.execute("LOCK TABLE annotation_annotation")
        answer = post(ann, "submit", lease["assignment"], submission(lease["token"], rated(1, 1, 1)))
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert connection.connection.info.backend_pid == before
    assert post(ann, "submit", lease["assignment"], submission(lease["token"], rated(1, 1, 1))).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("HOST", "/nonexistent"), ("NAME", "no_such_database"), ("USER", "no_such_person")],
    ids=["refused", "no database", "no account"],
)
def test_a_server_that_cannot_be_reached_is_503_and_its_return_is_noticed(
    held: tuple[Client, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    ann, _ = held
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, name, value)
        connection.close()
        assert is_told(ann.get("/p/sums/label/", headers={"accept": HTML}))
    assert ann.get("/p/sums/label/").status_code == 200


# --- streams --------------------------------------------------------------------------------------------------------------


def test_an_outage_before_the_first_piece_of_a_stream_is_503() -> None:
    def pieces() -> Iterator[bytes]:
        refuse()
        yield b""

    answer = outages.guard_stream(RequestFactory().get("/"), StreamingHttpResponse(pieces()))
    assert is_told(answer)


def test_a_stream_is_whole_and_an_outage_in_its_middle_breaks_it_off() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        refuse()

    answer = outages.guard_stream(RequestFactory().get("/"), StreamingHttpResponse(pieces()))
    received = []
    with pytest.raises(db.OperationalError):
        for piece in answer:  # type: ignore[attr-defined]
            received.append(piece)
    assert received == [b"a", b"b"]
