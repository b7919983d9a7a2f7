"""New solutions into a project: what is drawn, what is loaded, and that nothing is paid for twice. An endpoint on this machine answers."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from active_learning import sampling
from active_learning.sampling import BadSampling, check, drawing
from annotation import ingest
from annotation.models import Problem, Project, Solution
from tests import make
from tests.trainer.drawing import Endpoint, chat, save_chain, serving
from tests.waiting import PATIENCE


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    yield from serving(monkeypatch)


@pytest.fixture
def project(db, home: Path) -> Project:
    """Three training problems, whose answers are 0, 1 and 2."""
    made = make.project()
    for number in range(3):
        make.problem(made, external_id=f"p{number}", statement=f"Halve {2 * number}.", answer=str(number))
    return made


def silent(*_: object) -> None: ...


def draw(project: Project, endpoint: Endpoint, *, progress: Any = silent, name: str | None = None, fence: Any = silent, **told: Any) -> Any:
    settings = {"model": "halves-1b", "url": endpoint.url, "n": 2, "width": 1, "retries": 0} | told
    return sampling.sample(project, settings=settings, progress=progress, name=name, fence=fence)


def saying(*texts: str) -> Callable[[int, dict[str, Any]], Any]:
    """Answer the requests with these texts, one after the other."""
    return lambda number, _: chat(texts[min(number, len(texts) - 1)])


def answer(number: int, way: str = "So") -> str:
    return f"{way}.\n\n# Answer\n\n{number}"


# --- what a run brings --------------------------------------------------------------------------------------------------------


def test_solutions_are_drawn_graded_and_loaded_under_the_name_of_their_generator(project, endpoint) -> None:
    endpoint.reply = saying(*(answer(number, f"Way {number}") for number in range(6)))
    made = draw(project, endpoint)
    assert (made.n_problems, made.n_new, made.n_known, made.n_short, made.n_loaded) == (3, 6, 0, 0, 6)
    assert (made.requests, made.tokens) == (6, 600)
    loaded = Solution.objects.filter(problem__project=project)
    assert [loaded.filter(problem__external_id=f"p{number}").count() for number in range(3)] == [2, 2, 2]
    assert set(loaded.values_list("source", flat=True)) == {"halves-1b"}
    rights = sum(one.final_answer == one.problem.answer for one in loaded.select_related("problem"))
    assert (made.n_right, made.n_wrong, made.n_unsure, made.n_ungraded) == (rights, 6 - rights, 0, 0)
    assert loaded.filter(outcome="correct").count() == rights > 0
    assert "6 new solutions of 3 problems" in str(made) and "600 tokens and 6 texts" in str(made)


def test_a_test_problem_is_never_sampled(project, endpoint) -> None:
    Problem.objects.filter(external_id="p1").update(split="test")
    made = draw(project, endpoint)
    assert made.n_problems == 2
    assert not any("Halve 2." in asked["messages"][0]["content"].rpartition("# Problem")[2] for asked in endpoint.asked)
    assert not Solution.objects.filter(problem__external_id="p1").exists()


def test_what_was_drawn_for_a_problem_that_became_a_test_problem_is_not_loaded(project, endpoint) -> None:
    def progress(stage: str, done: int, *_: object) -> None:
        if done == 6:
            Problem.objects.filter(external_id="p1").update(split="test")

    assert draw(project, endpoint, progress=progress).n_new == 4
    assert not Solution.objects.filter(problem__external_id="p1").exists()


def test_a_solution_the_project_has_already_is_replaced_by_a_new_one(project, endpoint) -> None:
    Problem.objects.exclude(external_id="p0").delete()
    old = make.solution(Problem.objects.get(), steps=[answer(0)])
    endpoint.reply = saying(answer(0), answer(1), answer(2), answer(0), answer(3))
    made = draw(project, endpoint)
    assert (made.n_new, made.n_known, made.n_short, made.requests) == (2, 1, 0, 3)
    assert Solution.objects.exclude(pk=old.pk).count() == 2
    assert draw(project, endpoint).requests == 3, "what it knew before the run is still known when the run goes on"


def test_a_generator_with_nothing_new_to_say_is_not_asked_for_ever(project, endpoint) -> None:
    Problem.objects.exclude(external_id="p0").delete()
    make.solution(Problem.objects.get(), steps=[answer(0)])
    endpoint.reply = saying(answer(0))
    made = draw(project, endpoint)
    assert (made.n_new, made.n_known, made.n_short) == (0, 1, 1)
    assert made.requests < 12 and made.n_equal == made.requests - 1
    assert "1 problem still has fewer new solutions than 2. The generator wrote nothing else that is new and usable." in str(made)


def test_two_runs_draw_with_other_seeds(project, endpoint) -> None:
    draw(project, endpoint, name="one")
    draw(project, endpoint, name="two")
    seeds = [asked["seed"] for asked in endpoint.asked]
    assert len(seeds) == len(set(seeds)) == 12


def test_a_model_in_a_folder_draws_without_any_endpoint(project, tmp_path: Path) -> None:
    settings = {"model": str(save_chain(tmp_path / "chain")), "n": 1, "prompt": "{problem}\n# Solution\n\n", "max_tokens": 8}
    made = sampling.sample(project, settings=settings, progress=silent)
    assert (made.n_new, made.n_short) == (3, 0)
    assert set(Solution.objects.values_list("source", "final_answer")) <= {("chain", "5"), ("chain", "6")}


# --- going on -----------------------------------------------------------------------------------------------------------------


def test_the_same_call_draws_and_loads_nothing_a_second_time(project, endpoint) -> None:
    first = draw(project, endpoint)
    again = draw(project, endpoint)
    assert (again.n_new, again.n_loaded, again.requests, len(endpoint.asked)) == (first.n_new, 0, 6, 6)
    assert Solution.objects.count() == 6


def test_a_run_that_was_stopped_goes_on_and_pays_for_nothing_twice(project, endpoint) -> None:
    class Cancelled(Exception): ...

    def progress(stage: str, done: int, *_: object) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        draw(project, endpoint, progress=progress)
    assert 1 <= len(endpoint.asked) < 6 and not Solution.objects.exists()
    made = draw(project, endpoint)
    assert (made.n_new, made.requests, len(endpoint.asked)) == (6, 6, 6)


def test_what_was_drawn_by_a_process_that_was_killed_is_loaded_by_the_next(project, endpoint, home: Path) -> None:
    """Killed by kill -9 between a text and its loading."""
    draw(project, endpoint, n=1)
    script = (
        "import os, signal; from pathlib import Path; from trainer.sample import sample, EndpointGenerator, ProblemText;"
        "end = lambda now: os.kill(os.getpid(), signal.SIGKILL);"
        f"sample([ProblemText(f'p{{i}}', f'Halve {{2 * i}}.') for i in range(3)], per_problem=2, progress=end, seed=5,"
        f"generator=EndpointGenerator('halves-1b', endpoint={endpoint.url!r}, width=1), out={str(next(home.rglob('*.jsonl')))!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert (done.returncode, len(endpoint.asked), Solution.objects.count()) == (-9, 4, 3)
    made = draw(project, endpoint)
    assert (made.n_new, len(endpoint.asked), Solution.objects.count()) == (6, 6, 6)


def test_a_run_that_is_lost_loads_nothing(project, endpoint) -> None:
    class Lost(Exception): ...

    def fence() -> None:
        raise Lost

    with pytest.raises(Lost):
        draw(project, endpoint, fence=fence)
    assert len(endpoint.asked) == 6 and not Solution.objects.exists()


def test_a_run_is_had_by_one_process_at_a_time(project, endpoint) -> None:
    def progress(*_: object) -> None:
        with pytest.raises(BadSampling, match="Another process runs halves-1b-t1-seed0. Wait for it"):
            draw(project, endpoint)

    assert draw(project, endpoint, progress=progress).n_new == 6


def test_a_slow_text_is_waited_for_with_a_heartbeat(project, endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "BEAT_SECONDS", 0.01)
    beats, alive = [], threading.Event()

    def reply(number: int, body: dict[str, Any]) -> Any:
        assert alive.wait(PATIENCE)  # until somebody has heard of the run while this text is under way
        return chat(answer(number))

    def progress(stage: str, *_: object) -> None:
        beats.append(stage)
        if endpoint.asked:
            alive.set()

    endpoint.reply = reply
    assert draw(project, endpoint, progress=progress).n_new == 6
    assert alive.is_set()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"temperature": 0.5}, "temperature (it was 1.0, now 0.5)"),
        ({"top_p": 0.9}, "top_p (it was 1.0, now 0.9)"),
        ({"max_tokens": 9}, "max_tokens (it was 1024, now 9)"),
        ({"prompt": "Solve: {problem}"}, "prompt (it was not set, now Solve: {problem})"),
        ({"model": "thirds-1b"}, "model (it was halves-1b, now thirds-1b)"),
        ({"source": "other"}, "source (it was not set, now other)"),
        ({"request": {"top_k": 5}}, "request (it was not set, now {'top_k': 5})"),
        ({"seed": 3, "temperature": 0}, "temperature (it was 1.0, now 0.0), seed (it was 0, now 3)"),
    ],
)
def test_a_run_does_not_continue_with_other_settings(changed: dict[str, Any], named: str, project, endpoint) -> None:
    draw(project, endpoint, n=1, name="mine")
    n_asked = len(endpoint.asked)
    with pytest.raises(BadSampling) as refused:
        draw(project, endpoint, name="mine", **changed)
    assert f"The run mine was begun with other settings: {named}. " in str(refused.value) and "--name" in str(refused.value)
    assert (len(endpoint.asked), Solution.objects.count()) == (n_asked, 3), "nothing is drawn and nothing is lost"
    draw(project, endpoint, name="mine")
    draw(project, endpoint, name="another", **changed)


def test_a_run_continues_with_other_settings_of_a_call(project, endpoint) -> None:
    draw(project, endpoint, n=1, budget=1_000_000)
    made = draw(project, endpoint, n=2, budget_requests=100, width=2, timeout=60, retries=1)
    assert (made.n_new, made.requests) == (6, 6)


def test_a_run_of_an_earlier_version_continues_and_takes_the_settings_of_its_next_call(project, endpoint, home: Path) -> None:
    draw(project, endpoint, n=1)
    account = home / "samples/sums/halves-1b-t1-seed0.json"
    account.write_bytes(account.read_bytes()[:200])  # it had the account alone
    draw(project, endpoint, n=2)
    with pytest.raises(BadSampling, match="begun with other settings: top_p"):
        draw(project, endpoint, top_p=0.5)


# --- budgets and failures -----------------------------------------------------------------------------------------------------


def test_a_budget_of_texts_holds_over_all_calls_of_a_run(project, endpoint) -> None:
    made = draw(project, endpoint, budget_requests=4)
    assert (made.n_new, made.n_short, len(endpoint.asked)) == (4, 1, 4)
    assert "1 problem still has fewer new solutions than 2. The budget is too small for another text" in str(made)
    again = draw(project, endpoint, budget_requests=4)
    assert (again.n_new, len(endpoint.asked)) == (4, 4) and "4 texts are used" in again.stopped
    assert draw(project, endpoint, budget_requests=6).n_new == 6


def test_a_budget_of_tokens_is_never_exceeded(project, endpoint) -> None:
    made = draw(project, endpoint, budget=2_000, max_tokens=100, prompt="{problem}")
    assert made.tokens <= 2_000 and made.stopped == "" and made.n_new == 6
    other = draw(project, endpoint, budget=350, max_tokens=100, prompt="{problem}", name="poor")
    assert other.tokens <= 350 and 0 < other.n_new < 6 and other.stopped


def test_what_was_paid_for_before_an_endpoint_failed_is_loaded(project, endpoint) -> None:
    endpoint.reply = lambda number, _: chat(answer(number)) if number < 3 else (503, "<p>down</p>")
    with pytest.raises(BadSampling, match="status 503.*The run has loaded 3 new solutions. The same command continues it"):
        draw(project, endpoint)
    assert Solution.objects.count() == 3


def test_one_answer_that_breaks_off_ends_no_run_and_is_counted(project, endpoint) -> None:
    endpoint.reply = lambda number, _: (200, '{"choices": [{"mess') if number == 1 else chat(answer(number))
    made = draw(project, endpoint)
    assert (made.n_new, made.n_short, made.n_failed, made.requests) == (6, 0, 1, 7)
    assert "1 text did not arrive; the last one: The endpoint" in str(made) and "not a chat completion" in str(made)


def test_a_request_writes_no_line_into_the_log(project, endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """GSM8K alone takes 10,552 requests."""
    endpoint.reply = lambda number, _: (503, "{}") if number == 1 else chat(answer(number))
    draw(project, endpoint, retries=1)
    assert len(endpoint.asked) == 7 and caplog.messages == []


def test_texts_without_an_answer_end_the_run_with_the_remedy(project, endpoint) -> None:
    endpoint.reply = saying("I do not know.")
    with pytest.raises(BadSampling, match="None of the first 64 texts.*The run has loaded 0 new solutions"):
        draw(project, endpoint, n=30)


def test_problems_the_endpoint_refuses_do_not_fail_a_run_that_has_brought_others(project, endpoint) -> None:
    refusal = json.dumps({"error": {"message": "too long"}})
    endpoint.reply = lambda number, body: (400, refusal) if "Halve 4." in body["messages"][0]["content"] else chat(answer(number))
    for _ in range(2):
        made = draw(project, endpoint)
        assert (made.n_new, made.n_short) == (4, 1)


def test_a_problem_that_is_too_hard_does_not_fail_a_run_and_its_texts_are_counted(project, endpoint) -> None:
    hard = "Halve 4."
    endpoint.reply = lambda number, body: chat("?" if hard in body["messages"][0]["content"].rpartition("#")[0] else answer(number))
    assert draw(project, endpoint).n_short == 1
    made = draw(project, endpoint)
    assert (made.n_new, made.n_short, made.n_unusable) == (4, 1, 2 * 5) and "10 unusable" in str(made)


def test_a_project_without_training_problems_is_named(project, endpoint) -> None:
    Problem.objects.update(split="test")
    with pytest.raises(BadSampling, match="sums has no training problems to solve. Load some"):
        draw(project, endpoint)


def test_an_account_that_is_damaged_is_named(project, endpoint, home: Path) -> None:
    draw(project, endpoint)
    (home / "samples/sums/halves-1b-t1-seed0.json").write_text("{}")
    with pytest.raises(BadSampling, match="is damaged. Move it away"):
        draw(project, endpoint)


@pytest.mark.parametrize("name", ["../sums", "", ".hidden", "a/b"])
def test_the_name_of_a_run_cannot_lead_elsewhere(project, endpoint, name: str) -> None:
    with pytest.raises(BadSampling, match="cannot be the name of a run"):
        draw(project, endpoint, name=name)


# --- settings -----------------------------------------------------------------------------------------------------------------

HERE = {"url": "http://localhost:8000/v1", "model": "m", "n": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heat": 1}, "Sampling has no setting 'heat'"),
        ({"api_key": "secret"}, "api_key is not a setting, because settings are stored. Set OPENAI_API_KEY"),
        ({"model": ""}, "model is missing"),
        ({"n": 0}, "n must be a whole number of at least 1, not 0"),
        ({"n": None}, "n must be a whole number of at least 1, but it is missing"),
        ({"n": 1.5}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"budget": 0}, "budget must be a whole number of at least 1, not 0"),
        ({"budget_requests": "many"}, "budget_requests must be a whole number"),
        ({"temperature": -1}, "temperature must be a number of at least 0, not -1"),
        ({"temperature": float("nan")}, "temperature must be a number"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"prompt": "Solve it."}, "no place for the problem"),
        ({"chat": True}, "chat is only for a model that runs here"),
        ({"source": "x" * 201}, "more than 200 characters"),
        ({"url": "localhost:8000"}, "is not a web address"),
        ({"url": "https://me:secret@example.org/v1"}, "has more than an address"),
        ({"url": "https://example.org/v1?key=secret"}, "has more than an address"),
        ({"url": "https://api.openai.com/v1"}, "needs a key. Set OPENAI_API_KEY"),
        ({"url": "", "model": "/nowhere/at/all"}, "There is no model folder /nowhere/at/all"),
        ({"url": "", "model": "tiny"}, "writes no solutions"),
        ({"url": "", "retries": 3}, "retries is only for an endpoint"),
        ({"request": ["max_tokens"]}, "request a mapping"),
    ],
)
def test_settings_that_cannot_be_used_are_named(change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadSampling, match=said) as bad:
        check(HERE | change)
    assert "secret" not in str(bad.value)


def test_good_settings_are_kept_without_what_is_left_at_its_default() -> None:
    assert check(HERE | {"temperature": 1, "budget": 500.0, "width": None}) == HERE | {"budget": 500}


def test_the_key_goes_to_the_endpoint_and_nowhere_else(project, endpoint, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    made = draw(project, endpoint)
    assert endpoint.headers[0]["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(made) + json.dumps(made.as_dict()) + "".join(path.read_text() for path in home.rglob("*.json*"))


# --- the command --------------------------------------------------------------------------------------------------------------


def test_the_command_draws_loads_and_says_what_came(project, endpoint) -> None:
    said = StringIO()
    call_command("sample", project="sums", model="halves-1b", url=endpoint.url, n=1, budget=100_000, source="halves", stdout=said)
    assert "3 new solutions of 3 problems" in said.getvalue()
    assert set(Solution.objects.values_list("source", flat=True)) == {"halves"}


def test_the_command_refuses_in_one_sentence(project) -> None:
    with pytest.raises(CommandError, match="There is no model folder ./nowhere") as refused:
        call_command("sample", project="sums", model="./nowhere", n=1)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="The prompt nowhere.txt cannot be read"):
        call_command("sample", project="sums", model="m", n=1, prompt=Path("nowhere.txt"))


def test_what_is_loaded_is_what_loading_the_file_would_bring(project, endpoint, home: Path) -> None:
    made = draw(project, endpoint)
    assert ingest.load_solutions(home / made.file, project=project).new_solutions == 0
