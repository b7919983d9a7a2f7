"""Texts from a chat endpoint (a real server on this machine, which fails at times) and from a local model."""

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.drawing import BROKEN_OFF, OPEN, SEVEN, SHORT, Endpoint, Reply, chat, lines, problems
from tests.waiting import PATIENCE
from trainer.config import BadBase
from trainer.generators import Draw, Drawn, EndpointGenerator, GeneratorFailed, LocalGenerator, ProblemText
from trainer.lines import read_solutions
from trainer.sample import next_steps, sample


def test_every_problem_gets_its_solutions_in_lines_that_the_trainer_and_the_site_load(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "solutions.jsonl"
    report = sample(problems(3), generator=endpoint.generator(width=2), per_problem=2, out=file)
    assert (report.written, report.requests, report.tokens, report.short, report.stopped) == (6, 6, 600, 0, "")
    read = list(read_solutions(file))
    assert sorted(one.solution.problem_key for one in read) == ["p0", "p0", "p1", "p1", "p2", "p2"]
    for line in lines(file):
        assert line["steps"][-1].split("\n\n# Answer\n\n")[1].isdecimal() and line["source"] == "sums-1b"
        assert (line["id"], line["split"]) == (line["problem_key"], "test") and line["answer"] == str(int(line["id"][1:]) + 4)
    body = endpoint.asked[0]
    assert body["path"] == "/v1/chat/completions" and body["model"] == "sums-1b" and body["temperature"] == 1.0
    assert body["messages"][0]["content"].endswith("# Problem\n\nAdd 0 and 4.\n\n# Solution\n\n")
    assert len({asked["seed"] for asked in endpoint.asked}) == 6


def test_429_and_500_are_tried_again(endpoint: Endpoint, tmp_path: Path) -> None:
    failing = [(429, '{"error": {"message": "slow down"}}'), (500, "<h1>Oops</h1>"), (503, "{}")]
    endpoint.reply = lambda number, body: failing[number] if number < 3 else chat(f"So.\n\n# Answer\n\n{number}")
    report = sample(problems(1), generator=endpoint.generator(), per_problem=2, out=tmp_path / "s.jsonl")
    assert report.written == 2 and report.requests == 2 and len(endpoint.asked) == 5
    assert endpoint.asked[0] == endpoint.asked[3]  # the same seed: a try is not another draw


GARBLED = [
    (200, '{"choices": [{"mess'),
    (200, ""),
    (200, "<html>A wonderful page</html>"),
    (200, '{"choices": []}'),
    (200, '{"choices": [{"message": {"content": 7}}]}'),
    (200, '{"choices": null, "error": {"message": "the model is overloaded", "code": 502}}'),
    (200, "[1, 2]"),
    (200, "null"),
    (200, "\x00\x01"),
    (200, BROKEN_OFF),
]


@pytest.mark.parametrize("garbled", GARBLED)
def test_an_answer_that_is_no_chat_completion_is_asked_for_again(garbled: Reply, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda number, body: garbled if number in (0, 2) else chat(f"So.\n\n# Answer\n\n{number}")
    report = sample(problems(1), generator=endpoint.generator(), per_problem=2, out=tmp_path / "s.jsonl")
    assert (report.written, report.requests, report.failed, len(endpoint.asked)) == (2, 2, 0, 4)
    assert endpoint.asked[0] == endpoint.asked[1]  # the same seed: a try is not another draw


@pytest.mark.parametrize("bad", [*GARBLED, (500, "<h1>Oops</h1>"), (503, '{"error": {"message": "no memory"}}')])
def test_a_text_that_never_arrives_whole_is_counted_and_the_others_go_on(bad: Reply, endpoint: Endpoint, tmp_path: Path) -> None:
    """The server fails at one problem alone, for example because its text breaks the server."""

    def reply(number: int, body: dict[str, Any]) -> Reply:
        return bad if "Add 1 and" in body["messages"][0]["content"] else chat(f"So.\n\n# Answer\n\n{number}")

    endpoint.reply = reply
    report = sample(problems(4), generator=endpoint.generator(retries=1), per_problem=1, out=tmp_path / "s.jsonl")
    assert (report.written, report.short, report.failed) == (3, 1, 1 + 4)  # what is missing is drawn four times more
    assert "2 tries" in report.failure and endpoint.url in report.failure


def test_an_endpoint_that_turns_to_nonsense_ends_the_run_with_its_cause(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda number, body: chat(f"So.\n\n# Answer\n\n{number}") if number < 3 else (200, "<html>Sign in</html>")
    with pytest.raises(GeneratorFailed, match=r"not a chat completion, in 2 tries: .*Sign in.* 3 new solutions are kept"):
        sample(problems(20), generator=endpoint.generator(retries=1), per_problem=1, out=tmp_path / "s.jsonl")
    assert len(endpoint.asked) == 3 + 2 * 8, "eight texts in a row, two tries each"


def test_texts_that_fail_between_others_never_end_the_run(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda number, body: (200, "?") if number % 3 else chat(f"So.\n\n# Answer\n\n{number}")
    report = sample(problems(20), generator=endpoint.generator(retries=0), per_problem=1, out=tmp_path / "s.jsonl")
    assert report.failed > 8 and report.written + report.short == 20 and report.written > 10


def test_a_failed_text_counts_with_all_tokens_that_it_can_have_cost(endpoint: Endpoint, tmp_path: Path) -> None:
    generator, most = endpoint.generator(retries=0, max_tokens=50), 0
    endpoint.reply = lambda number, body: (200, "?") if number == 1 else chat(f"So.\n\n# Answer\n\n{number}", tokens=10)
    report = sample(problems(1), generator=generator, per_problem=3, out=tmp_path / "s.jsonl", prompt="{problem}")
    most = generator.most_tokens(problems(1)[0].text)
    assert (report.failed, report.written, report.tokens) == (1, 3, 3 * 10 + most)


def test_a_text_that_a_content_filter_stopped_is_named(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda number, body: chat("I can", reason="content_filter")
    with pytest.raises(GeneratorFailed, match="5 stopped by the endpoint's content filter"):
        sample(problems(1), generator=endpoint.generator(), per_problem=1, out=tmp_path / "s.jsonl")


def test_an_endpoint_that_stays_down_ends_the_run_and_the_next_call_goes_on(endpoint: Endpoint, tmp_path: Path) -> None:
    file, up = tmp_path / "s.jsonl", endpoint.reply
    endpoint.reply = lambda number, body: up(number, body) if number < 3 else (500, "{}")
    with pytest.raises(GeneratorFailed, match=r"fails with status 500 after 2 tries.* 3 new solutions are kept in .*s\.jsonl"):
        sample(problems(2), generator=endpoint.generator(retries=1), per_problem=4, out=file)
    kept = file.read_bytes()
    endpoint.reply = up
    report = sample(problems(2), generator=endpoint.generator(), per_problem=4, out=file)
    assert (report.found, report.written) == (3, 5)
    assert file.read_bytes().startswith(kept) and len(lines(file)) == 8
    assert report.requests == 5, "what was there is not drawn again"


def test_texts_that_come_in_after_a_failure_are_kept(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, ask = threading.Event(), EndpointGenerator._ask

    def ask_and_notice(generator: EndpointGenerator, draw: Draw) -> Drawn:
        try:
            return ask(generator, draw)
        except GeneratorFailed:
            failed.set()
            raise

    def reply(number: int, body: dict[str, Any]) -> Reply:
        if "Add 0" in body["messages"][0]["content"]:
            return 401, "{}"
        assert failed.wait(PATIENCE)
        return chat(SEVEN)

    monkeypatch.setattr(EndpointGenerator, "_ask", ask_and_notice)

    endpoint.reply = reply
    with pytest.raises(GeneratorFailed, match="does not accept the key. Set OPENAI_API_KEY"):
        sample(problems(3), generator=endpoint.generator(width=3), per_problem=1, out=tmp_path / "s.jsonl")
    assert [line["problem_key"] for line in lines(tmp_path / "s.jsonl")] in (["p1", "p2"], ["p2", "p1"])


def test_as_many_requests_run_at_once_as_the_width_says(endpoint: Endpoint, tmp_path: Path) -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def reply(number: int, body: dict[str, Any]) -> Reply:
        meeting.wait()
        return chat(f"So.\n\n# Answer\n\n{number}")

    endpoint.reply = reply
    assert sample(problems(4), generator=endpoint.generator(width=3), per_problem=3, out=tmp_path / "s.jsonl").written == 12
    assert endpoint.most_at_once == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, "<html>A wonderful page</html>"), "gives an answer that is not a chat completion, in 4 tries: "),
        ((200, '{"hello": "there"}'), "gives an answer that is not a chat completion, in 4 tries: "),
        ((200, '{"choices": [{"message": {"content": 7}}]}'), "gives an answer that is not a chat completion, in 4 tries: "),
        ((200, '{"choices": [{"mess'), "gives an answer that is not a chat completion, in 4 tries: "),
        ((404, '{"error": {"message": "no such model"}}'), "has no model sums-1b, or no chat: no such model. Check --model"),
        ((400, '{"error": {"message": "seed is unknown"}}'), "refuses the prompt: seed is unknown. Change the prompt or the settings."),
        ((429, "{}"), "still answers 'too many requests' after 4 tries"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_a_sentence(endpoint: Endpoint, reply: Reply, said: str, tmp_path: Path) -> None:
    endpoint.reply = lambda number, body: reply
    with pytest.raises(GeneratorFailed, match=re.escape(said)):
        sample(problems(1), generator=endpoint.generator(), per_problem=1, out=tmp_path / "s.jsonl")


def test_an_endpoint_that_hangs_is_given_up_after_the_timeout(endpoint: Endpoint, tmp_path: Path) -> None:
    over = threading.Event()
    endpoint.reply = lambda number, body: (over.wait(PATIENCE), chat(SEVEN))[1]
    with pytest.raises(GeneratorFailed, match=r"no answer within 0\.1 s in one try"):
        sample(problems(1), generator=endpoint.generator(timeout=0.1, retries=0), per_problem=1, out=tmp_path / "s.jsonl")
    over.set()


def test_an_endpoint_that_is_not_there_is_a_sentence(endpoint: Endpoint, tmp_path: Path) -> None:
    generator = EndpointGenerator("m", endpoint="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(GeneratorFailed, match="cannot be reached .* Check the address and the network"):
        sample(problems(1), generator=generator, per_problem=1, out=tmp_path / "s.jsonl")


def test_openai_without_a_key_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(GeneratorFailed, match="Set OPENAI_API_KEY"):
        EndpointGenerator("gpt")


def test_the_key_goes_to_the_endpoint_and_nowhere_else(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    sample(problems(1), generator=endpoint.generator(), per_problem=1, out=tmp_path / "s.jsonl")
    assert endpoint.headers[0]["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in (tmp_path / "s.jsonl").read_text() + repr(endpoint.generator())


def test_a_refused_problem_does_not_hold_up_the_others(endpoint: Endpoint, tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        refused = "Add 1 and" in body["messages"][0]["content"]
        return (400, '{"error": {"message": "too long"}}') if refused else chat(f"So.\n\n# Answer\n\n{number}")

    endpoint.reply = reply
    report = sample(problems(3), generator=endpoint.generator(), per_problem=2, out=tmp_path / "s.jsonl")
    assert (report.written, report.refused, report.short) == (4, 2, 1)


def test_changes_to_the_request_replace_and_remove(endpoint: Endpoint, tmp_path: Path) -> None:
    generator = endpoint.generator(request={"seed": None, "max_tokens": None, "max_completion_tokens": 9, "temperature": 0.3})
    sample(problems(1), generator=generator, per_problem=1, out=tmp_path / "s.jsonl")
    body = endpoint.asked[0]
    assert body["max_completion_tokens"] == 9 and body["temperature"] == 0.3 and not {"seed", "max_tokens"} & set(body)


# --- a local model


def test_a_local_model_writes_until_its_answer_is_told(chain: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    generator = LocalGenerator(str(chain), max_tokens=40, width=4)
    report = sample(problems(2), generator=generator, per_problem=16, out=file, prompt=SHORT, keep_equal=True)
    kept = {(line["problem_key"], tuple(line["steps"])) for line in lines(file)}
    assert kept == {(key, ("We add.", f"So {n}.\n\n# Answer\n\n{n}")) for key in ("p0", "p1") for n in (5, 6)}
    assert {line["source"] for line in lines(file)} == {"adder"}
    # Twelve letters, a line break and the heading; then two steps and what shows that the answer is at its end.
    assert report.tokens == 32 * (14 + 3) + sum("5" in line["steps"][1] for line in lines(file))


def test_the_same_seed_draws_the_same_texts_and_another_seed_others(chain: Path, tmp_path: Path) -> None:
    generator = LocalGenerator(str(chain), max_tokens=10, width=8)
    drawn = []
    for number, seed in enumerate((1, 1, 2)):
        file = tmp_path / f"{number}.jsonl"
        torch.rand(number)  # what happened before does not matter
        sample(problems(1), generator=generator, per_problem=16, out=file, prompt=SHORT, seed=seed, keep_equal=True)
        drawn.append([line["steps"] for line in lines(file)])
    assert drawn[0] == drawn[1] != drawn[2]


def test_prompts_of_different_lengths_share_a_batch(chain: Path, tmp_path: Path) -> None:
    two = [ProblemText("short", "Add."), ProblemText("long", "Add three and two, please.")]
    report = sample(
        two, generator=LocalGenerator(str(chain), max_tokens=10, width=2), per_problem=1, out=tmp_path / "s.jsonl", prompt=SHORT
    )
    assert report.written == 2


def test_temperature_0_draws_the_likeliest_text(chain: Path, tmp_path: Path) -> None:
    generator = LocalGenerator(str(chain), max_tokens=10, temperature=0)
    sample(problems(1), generator=generator, per_problem=4, out=tmp_path / "s.jsonl", prompt=SHORT, keep_equal=True)
    assert len({tuple(line["steps"]) for line in lines(tmp_path / "s.jsonl")}) == 1


def test_a_local_model_whose_texts_all_reach_the_token_limit_says_so(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(
        GeneratorFailed, match=r"None of the first 5 texts can be used: 5 cut off by the token limit\. Raise --max-tokens\."
    ):
        sample(problems(1), generator=LocalGenerator(str(chain), max_tokens=2), per_problem=1, out=tmp_path / "s.jsonl", prompt=SHORT)


def test_a_problem_longer_than_the_context_is_refused_and_the_others_go_on(chain: Path, tmp_path: Path) -> None:
    two = [ProblemText("short", "Add."), ProblemText("long", "Add " * 30)]
    report = sample(two, generator=LocalGenerator(str(chain), max_tokens=10), per_problem=1, out=tmp_path / "s.jsonl", prompt=SHORT)
    assert (report.written, report.refused, report.short) == (1, 1, 1)


def test_a_batch_that_does_not_fit_is_halved(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, sizes = LocalGenerator(str(chain), max_tokens=10, width=8), []
    whole = generator._continue

    def tight(prompts: list[list[int]], **how: int) -> list[list[int]]:
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(prompts, **how)

    monkeypatch.setattr(generator, "_continue", tight)
    report = sample(problems(1), generator=generator, per_problem=8, out=tmp_path / "s.jsonl", prompt=SHORT, keep_equal=True)
    assert report.written == 8 and sizes == [8, 4, 2, 2, 4, 2, 2]


def test_a_chat_model_gets_the_prompt_in_its_template(chain: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(chain, base)
    (base / "chat_template.jinja").write_text("Please: {{ messages[0]['content'] }}")
    plain, chat = LocalGenerator(str(base), max_tokens=10), LocalGenerator(str(base), max_tokens=10, chat=True)
    assert chat.most_tokens("Add.\n" + OPEN) == plain.most_tokens("Add.\n" + OPEN) + len("Please: ")
    assert sample(problems(1), generator=chat, per_problem=1, out=tmp_path / "s.jsonl", prompt=SHORT).written == 1


def test_a_base_without_a_chat_template_says_so(chain: Path) -> None:
    with pytest.raises(BadBase, match="no chat template. Leave out --chat"):
        LocalGenerator(str(chain), chat=True)


# --- the next step


@pytest.fixture
def next_of(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setenv("STEPMARK_GENERATOR_MODEL", "sums-1b")
    monkeypatch.setenv("STEPMARK_GENERATOR_ENDPOINT", endpoint.url)
    return endpoint


def test_the_next_step_goes_on_from_the_steps_that_were_chosen(next_of: Endpoint) -> None:
    next_of.reply = lambda number, body: chat("Then 7.\nSo 7.\n\n# Answer\n\n7", reason="stop")
    assert next_steps("Add 3 and 4.", ["We add."], 2) == ["Then 7.", "Then 7."]
    assert next_of.asked[0]["messages"][0]["content"].endswith("Add 3 and 4.\n\n# Solution\n\nWe add.\n")
    assert len({body["seed"] for body in next_of.asked}) == 2


def test_the_last_step_comes_with_its_answer(next_of: Endpoint) -> None:
    next_of.reply = lambda number, body: chat("So 7.\n\n# Answer\n\n7")
    assert next_steps("Add 3 and 4.", ["We add."], 1) == ["So 7.\n\n# Answer\n\n7"]


def test_steps_that_the_model_says_again_are_not_the_next_step(next_of: Endpoint) -> None:
    next_of.reply = lambda number, body: chat("We add.\nThen 7.\n")
    assert next_steps("Add 3 and 4.", ["We add."], 1) == ["Then 7."]


@pytest.mark.parametrize("reply", [(200, "<html>Sign in</html>"), (500, "{}")])
def test_a_next_step_that_never_arrives_says_why(reply: Reply, next_of: Endpoint) -> None:
    assert next_steps("Add 3 and 4.", [], 1)
    next_of.reply = lambda number, body: reply
    with pytest.raises(GeneratorFailed, match="not a chat completion, in 2 tries|status 500 after 2 tries"):
        next_steps("Add 3 and 4.", [], 1)


def test_a_next_step_that_is_refused_says_why(next_of: Endpoint) -> None:
    next_of.reply = lambda number, body: (400, '{"error": {"message": "the text is too long"}}')
    with pytest.raises(GeneratorFailed, match="refuses to continue this solution: the text is too long"):
        next_steps("Add 3 and 4.", ["We add."], 2)


def test_a_site_without_a_model_for_its_generator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPMARK_GENERATOR_MODEL", raising=False)
    with pytest.raises(GeneratorFailed, match="STEPMARK_GENERATOR_MODEL is not set"):
        next_steps("Add 3 and 4.", [], 1)
