"""Problems and solutions that a program loads: all or none as asked, each wrong line named, once for each key."""

import gzip
import json
from typing import Any

import psycopg
import pytest
from django.db import connection

from annotation import ingest, retries
from annotation.ingest import staging, upserting
from annotation.models import Event, Problem, Project, Role, Solution, StepLabel, StoredAnswer
from tests import make
from tests.api import ask, error_of, send, token_for

pytestmark = pytest.mark.django_db
LINES = "application/x-ndjson"
GOOD = {"id": "sum-1", "problem": "What is 2 + 3?", "answer": "5", "steps": ["2 + 3 is 5.", "So it is 5.\n\n# Answer\n\n5"], "source": "m"}


@pytest.fixture
def project() -> Project:
    return make.project(text_kind="plain")


@pytest.fixture
def token(project: Project) -> str:
    return token_for(make.olga(project), scope="write")


def lines(*values: Any) -> bytes:
    return b"".join(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n" for value in values)


def load(token: str, body: bytes, what: str = "solutions", *, query: str = "", **headers: str) -> Any:
    return send(f"projects/sums/{what}{query}", token, body, kind=headers.pop("kind", LINES), **headers)


def faults(answer: Any) -> list[tuple[int, str]]:
    assert error_of(answer) == (422, "bad_lines")
    return [(fault["line"], fault["detail"]) for fault in answer.json()["errors"]]


# --- what is stored -------------------------------------------------------------------------------------------------------------


def test_a_new_solution_is_stored_and_graded_with_its_problem(token: str) -> None:
    answer = load(token, lines(GOOD))
    assert (
        answer.status_code == 200 and {"new_problems": 1, "new_solutions": 1, "n_skipped": 0, "lines": 1}.items() <= answer.json().items()
    )
    assert answer.json()["outcomes"] == {"correct": 1}
    [shown] = ask("projects/sums/solutions", token).json()["items"]
    assert shown["steps"] == GOOD["steps"] and shown["source"] == "m" and shown["outcome"] == "correct"


def test_the_same_lines_again_change_nothing(token: str) -> None:
    load(token, lines(GOOD))
    again = load(token, lines(GOOD, GOOD)).json()
    assert (again["new_problems"], again["new_solutions"], again["solutions"]) == (0, 0, 2) and Solution.objects.count() == 1


def test_problems_are_stored_without_solutions(token: str) -> None:
    answer = load(token, lines({"problem": "What is 1 + 1?", "split": "test", "level": "1"}), "problems")
    assert answer.json()["new_problems"] == 1 and not Solution.objects.exists()
    assert Problem.objects.values_list("split", "level").get() == ("test", "1")


def test_a_text_is_cut_by_the_rule_that_is_asked_for(token: str) -> None:
    line = {"problem": "What is 2 + 3?", "solution": "2 + 3\n\nis 5.\n\nSo it is 5."}
    load(token, lines(line), query="?steps_by=paragraphs&source=generator")
    assert Solution.objects.values_list("steps", "source").get() == (["2 + 3", "is 5.", "So it is 5."], "generator")


def test_blank_lines_and_a_mark_at_the_beginning_are_passed_over(token: str) -> None:
    assert load(token, b"\xef\xbb\xbf\n" + lines(GOOD) + b"\r\n\n").json()["lines"] == 1


def test_a_load_is_an_event_of_the_person(token: str) -> None:
    load(token, lines(GOOD))
    event = Event.objects.get(verb="load lines")
    assert event.actor == make.olga() and event.details == {"problems": 1, "solutions": 1, "left_out": 0}


# --- wrong lines ----------------------------------------------------------------------------------------------------------------

WRONG = [
    (b"{\n", "Not JSON"),
    (b"[1]\n", "A list where an object is expected."),
    (b"7\n", "where an object is expected."),
    (b"\xff\n", "Not UTF-8"),
    (b'{"problem": "x", "problem": "y", "steps": ["a"]}\n', "occurs twice"),
    (b'{"problem": NaN, "steps": ["a"]}\n', "not a number"),
    ({"steps": ["a"]}, "problem"),
    ({"problem": "What?", "steps": []}, "step"),
    ({"problem": 5, "steps": ["a"]}, "'problem'"),
    ({"problem": None, "steps": ["a"]}, "'problem'"),
    ({"id": {"a": 1}, "problem": "What?", "steps": ["a"]}, "'id'"),
    ({"problem": "What?", "steps": ["a", 1]}, "'steps'"),
    ({"problem": "What?", "steps": ["a"], "answer": [4]}, "'answer'"),
    ({"problem": "What?", "steps": ["a"], "subject": True}, "'subject'"),
    ({"problem": "What?", "steps": ["a"], "source": [5]}, "'source'"),
    ({"problem": "What?", "solution": ["a"]}, "'solution'"),
    ({"problem": "What?", "steps": "a"}, "'steps'"),
    ({"problem": "What?", "steps": ["a"], "split": "other"}, "split"),
    ({"problem": "What?", "steps": ["a\0b"]}, ""),
    ({"problem": "What?", "steps": ["a", "b"], "ratings": [1, -1]}, "The line has ratings."),
    ({"problem": "What?", "steps": ["x" * 200_000]}, ""),
    (b'{"problem": "What?", "steps": ["\\ud800"]}\n', ""),
    (b'{"problem": ' + b"[" * 5_000 + b"]" * 5_000 + b"}\n", "Nested"),
]  # fmt: skip


@pytest.mark.parametrize("wrong,words", WRONG)
def test_one_wrong_line_refuses_all_and_is_named(token: str, wrong: Any, words: str) -> None:
    [(line, detail)] = faults(load(token, lines(GOOD, wrong if isinstance(wrong, bytes) else wrong)))
    assert line == 2 and words in detail and not Problem.objects.exists() and not Event.objects.filter(verb="load lines").exists()


@pytest.mark.parametrize("wrong,words", WRONG)
def test_one_wrong_line_is_left_out_if_that_is_asked_for(token: str, wrong: Any, words: str) -> None:
    answer = load(token, lines(wrong, GOOD), query="?wrong=skip").json()
    assert [skipped["line"] for skipped in answer["skipped"]] == [1] and words in answer["skipped"][0]["detail"]
    assert (answer["lines"], answer["n_skipped"], answer["new_solutions"]) == (2, 1, 1)


def test_every_wrong_line_is_named_at_once(token: str) -> None:
    found = faults(load(token, lines(b"{\n", GOOD, {"steps": ["a"]}, b"7\n")))
    assert [line for line, _ in found] == [1, 3, 4]


def test_of_many_wrong_lines_the_first_are_named_and_all_are_counted(token: str) -> None:
    answer = load(token, b"7\n" * 150)
    assert len(faults(answer)) == 100 and answer.json()["n_errors"] == 150


def test_one_external_id_with_two_statements_is_named_with_both_places(token: str) -> None:
    other = GOOD | {"problem": "What is 2 + 4?"}
    assert faults(load(token, lines(GOOD, GOOD, other))) == [
        (3, "The problem id 'sum-1' belongs to another statement in line 1. Give the problem an id of its own.")
    ]
    load(token, lines(GOOD))
    assert faults(load(token, lines(other), "problems"))[0][1].startswith(
        "The problem id 'sum-1' belongs to another statement in the project."
    )
    assert load(token, lines(other, GOOD), query="?wrong=skip").json()["n_skipped"] == 1
    assert Problem.objects.get().statement == GOOD["problem"]


def test_white_space_alone_is_no_other_statement(token: str) -> None:
    load(token, lines(GOOD))
    assert load(token, lines(GOOD | {"problem": " What  is 2 + 3? "})).json()["new_problems"] == 0


def test_another_answer_for_a_known_problem_changes_nothing_and_is_said(token: str) -> None:
    load(token, lines(GOOD))
    notes = " ".join(load(token, lines(GOOD | {"answer": "6"})).json()["notes"])
    assert Problem.objects.get().answer == "5" and "keeps its reference answer" in notes


def test_an_unknown_field_with_a_nul_character_is_named_and_the_answer_is_stored(token: str) -> None:
    first, again = (load(token, lines(GOOD | {"a\0b": 1}), **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.status_code == 200 and first.json() == again.json() and "a\N{SYMBOL FOR NULL}b" in " ".join(first.json()["notes"])


# --- bodies ---------------------------------------------------------------------------------------------------------------------


def test_a_gzipped_body_is_unpacked(token: str) -> None:
    assert load(token, gzip.compress(lines(GOOD)), **{"Content-Encoding": "gzip"}).json()["new_solutions"] == 1


def test_each_member_of_a_gzipped_body_is_unpacked(token: str) -> None:
    body = b"".join(gzip.compress(lines(GOOD | {"id": name, "problem": f"What is {name}?"})) for name in "abc")
    assert load(token, body, **{"Content-Encoding": "gzip"}).json()["new_solutions"] == 3


@pytest.mark.parametrize(
    "body,code",
    [
        (gzip.compress(lines(GOOD)) + b"more", (400, "bad_body")),
        (gzip.compress(lines(GOOD)) + gzip.compress(lines(GOOD))[:-12], (400, "bad_body")),
        (gzip.compress(lines(GOOD)) + gzip.compress(b" " * 60_000_000), (413, "body_too_large")),
        (gzip.compress(b" " * 60_000_000), (413, "body_too_large")),
        (gzip.compress(lines(GOOD))[:-12], (400, "bad_body")),
        (lines(GOOD), (400, "bad_body")),
    ],
)
def test_a_gzip_bomb_a_part_and_what_is_no_gzip_are_refused(token: str, body: bytes, code: tuple[int, str]) -> None:
    assert error_of(load(token, body, **{"Content-Encoding": "gzip"})) == code and not Problem.objects.exists()


def test_a_body_above_the_limit_is_refused(token: str) -> None:
    assert error_of(load(token, b" " * 20_000_001)) == (413, "body_too_large")
    assert error_of(load(token, b"{}\n" * 10_001)) == (413, "body_too_large")


@pytest.mark.parametrize("body", [b"\n", b" \n\n "])
def test_an_empty_body_is_refused(token: str, body: bytes) -> None:
    assert error_of(load(token, body)) == (400, "bad_body")


@pytest.mark.parametrize("kind", ["application/json", "text/csv", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_body_of_another_kind_is_refused(token: str, kind: str) -> None:
    assert error_of(load(token, lines(GOOD), kind=kind)) == (415, "unsupported_media_type")


def test_a_body_that_is_packed_otherwise_is_refused(token: str) -> None:
    assert error_of(load(token, lines(GOOD), **{"Content-Encoding": "br"})) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query,name",
    [("?wrong=perhaps", "wrong"), ("?steps_by=magic", "steps_by"), ("?colour=red", "colour"), ("?limit=1", "limit")],
)
def test_a_wrong_option_is_named(token: str, query: str, name: str) -> None:
    answer = load(token, lines(GOOD), query=query)
    assert error_of(answer) == (400, "bad_query") and [fault["name"] for fault in answer.json()["errors"]] == [name]


def test_of_two_answers_or_two_ids_of_one_problem_the_first_is_stored_and_the_other_is_noted(token: str) -> None:
    notes = load(token, lines(GOOD, GOOD | {"answer": "6"}, GOOD | {"id": "sum-2"})).json()["notes"]
    assert "1 problem has several reference answers here, such as in line 1 and line 2. The first one counts." in notes
    words = "1 id is not stored, because the statement is a problem with another id already: 'sum-2' (line 3) is 'sum-1'."
    assert words in notes and list(Problem.objects.values_list("external_id", "answer")) == [("sum-1", "5")]


# --- keys -----------------------------------------------------------------------------------------------------------------------


def test_the_same_request_with_the_same_key_acts_once_and_gets_the_same_answer(token: str) -> None:
    first = load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    again = load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    assert first.json() == again.json() and again.json()["new_solutions"] == 1 and again["Idempotency-Replayed"] == "true"
    assert Event.objects.filter(verb="load lines").count() == 1


@pytest.mark.parametrize("change", [{"body": lines(GOOD | {"source": "x"})}, {"query": "?wrong=skip"}, {"what": "problems"}])
def test_a_key_belongs_to_one_request(token: str, change: dict[str, Any]) -> None:
    load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    asked = {"body": lines(GOOD), **change}
    assert error_of(load(token, asked.pop("body"), **asked, **{"Idempotency-Key": "a-key"})) == (422, "key_reused")


def test_two_people_can_use_the_same_key(token: str, project: Project) -> None:
    other = token_for(make.person("max", project, Role.MANAGER), scope="write")
    load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    assert load(other, lines(GOOD), **{"Idempotency-Key": "a-key"}).json()["new_solutions"] == 0


def test_a_refused_request_can_be_tried_again_with_its_key(token: str) -> None:
    assert load(token, b"7\n", **{"Idempotency-Key": "a-key"}).status_code == 422
    assert load(token, lines(GOOD), **{"Idempotency-Key": "a-key"}).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "é"])
def test_a_wrong_key_is_named(token: str, key: str) -> None:
    answer = load(token, lines(GOOD), **{"Idempotency-Key": key})
    assert error_of(answer) == (400, "bad_body") and answer.json()["errors"][0]["name"] == "Idempotency-Key"


def test_a_stored_answer_goes_after_a_day(token: str) -> None:
    load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    with connection.cursor() as cursor:
        cursor.execute("UPDATE annotation_storedanswer SET created_at = now() - interval '25 hours'")
    assert load(token, lines(GOOD), **{"Idempotency-Key": "a-key"}).json()["new_solutions"] == 0
    assert StoredAnswer.objects.count() == 1


def test_a_request_whose_first_one_still_runs_is_told_to_wait(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def still_running(*_: object, **__: object) -> None:
        raise retries.KeyInUse("The first request with this Idempotency-Key is still running. Wait, then send it again.")

    monkeypatch.setattr(retries, "once", still_running)
    answer = load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    assert error_of(answer) == (409, "key_in_use") and answer["Retry-After"]


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_with_one_key_at_once_one_acts(project: Project) -> None:
    olga, acted = make.olga(project), []

    def once() -> object:
        return retries.once(olga, "a-key", content=b"x", act=lambda: (acted.append(1), (200, {}))[1])

    outcomes = make.at_once([once, once])
    assert acted == [1]
    assert all(isinstance(outcome, retries.KeyInUse | retries.OnceAnswer) for outcome in outcomes)


@pytest.mark.django_db(transaction=True)
def test_a_request_waits_for_no_other_that_deletes_old_answers(project: Project) -> None:
    olga = make.olga(project)
    retries.once(olga, "old", content=b"x", act=lambda: (200, {}))
    StoredAnswer.objects.update(created_at="2020-01-01T00:00Z")
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("DELETE FROM annotation_storedanswer")  # as a load that takes minutes, until its commit
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        assert not retries.once(olga, "new", content=b"x", act=lambda: (200, {})).is_repeated
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        other.rollback()
    retries.once(olga, "newer", content=b"x", act=lambda: (200, {}))
    assert set(StoredAnswer.objects.values_list("key", flat=True)) == {"new", "newer"}


@pytest.mark.django_db(transaction=True)
def test_a_load_waits_for_another_one_of_its_project_but_not_for_long(
    project: Project, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upserting, "WAIT_SECONDS", 0.05)
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        staging.hold_project(other.cursor(), project)  # as a worker that loads a large file
        refused = load(token, lines(GOOD), **{"Idempotency-Key": "a-key"})
    assert error_of(refused) == (409, "load_running") and refused["Retry-After"] and not Problem.objects.exists()
    assert load(token, lines(GOOD), **{"Idempotency-Key": "a-key"}).json()["new_solutions"] == 1


# --- who can ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["problems", "solutions"])
def test_a_token_that_reads_stores_nothing(project: Project, what: str) -> None:
    token = token_for(make.olga(project))
    assert error_of(load(token, lines(GOOD), what)) == (403, "scope_missing") and not Problem.objects.exists()


def test_a_researcher_and_a_labeler_store_nothing(project: Project) -> None:
    rita, ann = (token_for(person, scope="write") for person in (make.rita(project), make.ann(project)))
    assert error_of(load(rita, lines(GOOD))) == (403, "role_too_low")
    assert error_of(load(ann, lines(GOOD))) == (404, "not_found")


def test_a_line_is_read_as_a_line_of_a_file_is(tmp_path: Any, project: Project) -> None:
    """What a file stores, the same lines store through the API: then nothing is new."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(lines(GOOD, {"problem": "What is 1 + 1?", "solution": "It is\n2."}))
    ingest.load_solutions(path, project=project, steps_by="lines")
    loaded = ingest.upsert(project, path.read_bytes(), actor=make.olga(project), are_solutions=True, skips=False)
    assert (loaded.report.solutions, loaded.report.new_solutions, loaded.report.new_problems) == (2, 0, 0)


# --- tasks of another labeling tool ---------------------------------------------------------------------------------------------

STARS = {
    "data": {"question": "What is 2 + 3?", "chain": ["2 + 3 is 5.", "So it is 6."]},
    "annotations": [
        {"id": 4, "completed_by": 1, "result": [
            {"from_name": f"step_{number}", "type": "rating", "value": {"rating": stars}} for number, stars in ((1, 5), (2, 1))
        ]}
    ],
}  # fmt: skip
MAPPED = "?line_format=labelstudio&mapping=steps=chain%0Agood=4,5%0Abad=1,2"


def test_tasks_of_another_tool_load_with_their_labels_by_a_mapping_and_once(token: str) -> None:
    answer = load(token, lines(STARS, STARS | {"id": 9}), query=MAPPED).json()
    assert (answer["lines"], answer["new_solutions"], answer["annotations"], answer["new_annotations"]) == (2, 1, 2, 2)
    assert sorted(StepLabel.objects.values_list("step_index", "rating")) == [(0, 1), (0, 1), (1, -1), (1, -1)]
    assert load(token, lines(STARS, STARS), query=MAPPED).json()["new_annotations"] == 0
    assert Event.objects.filter(verb="load lines").earliest("pk").details["annotations"] == 2


def test_values_and_fields_of_another_tool_that_nobody_can_know_are_named_as_the_command_names_them(token: str) -> None:
    [(line, detail)] = faults(load(token, lines(STARS), query="?line_format=labelstudio&mapping=steps=chain"))
    assert line == 1 and "is 5 on a scale. Say what they mean, such as mapping good=4,5 mapping neutral=3 mapping bad=1,2." in detail
    [(_, detail)] = faults(load(token, lines(STARS), query="?line_format=labelstudio"))
    assert "Name the field with the list of steps, or with the text, with mapping steps=FIELD." in detail
    [(_, detail)] = faults(load(token, lines({"id": "a", "label_annotations": {"step_1": {"good": "true"}}}), query="?line_format=potato"))
    assert "Give what Potato showed to people under displayed_text." in detail and not Problem.objects.exists()


def test_a_person_who_labeled_nothing_is_a_wrong_line(token: str) -> None:
    empty = {"user_id": "ann", "displayed_text": "What is 2 + 3?", "instance_id_to_label_to_value": {}}
    assert faults(load(token, lines(empty), query="?line_format=potato")) == [(1, "Nothing is labeled here. Leave the line out.")]


def test_a_text_of_another_tool_that_is_no_unicode_is_named(token: str) -> None:
    line = STARS | {"data": {"question": "\ud800", "chain": ["a", "b"]}}
    [(number, detail)] = faults(load(token, lines(line), query=MAPPED))
    assert number == 1 and "half of a surrogate pair" in detail and not Problem.objects.exists()


def test_an_item_whose_name_is_no_unicode_is_known_again(token: str) -> None:
    line = {"id": "\ud800", "problem": "p", "steps": ["a"], "label_annotations": {"step_1": {"good": "true"}}}
    loads = [load(token, lines(line), query="?line_format=potato").json()["new_annotations"] for _ in range(2)]
    assert loads == [1, 0]


def test_the_words_of_a_line_are_quoted_as_they_are(token: str) -> None:
    other = STARS | {"data": {"question": "What is 2 + 3?", "--map x": 1}}
    [(_, detail)] = faults(load(token, lines(other), query="?line_format=labelstudio"))
    assert "fields: 'question', '--map x'" in detail


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?line_format=labelstudio&mapping=colour=red", "The mapping 'colour' is not known. The names are problem, steps,"),
        ("?line_format=labelstudio&mapping=good", "The mapping 'good' is not NAME=VALUE."),
        ("?mapping=steps=chain", "The fields of this format have fixed names. A mapping is for labelstudio, labelstudio_min,"),
        ("?mapping=steps=chain", "Leave mapping out."),
        ("?line_format=potato_state", "potato_state"),
    ],
)
def test_a_wrong_mapping_is_a_wrong_option(token: str, query: str, words: str) -> None:
    answer = load(token, lines(STARS), query=query)
    assert error_of(answer) == (400, "bad_query") and words in answer.json()["errors"][0]["detail"] and not Problem.objects.exists()
