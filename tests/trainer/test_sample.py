"""What is drawn, kept and counted: texts become steps, files go on where they stopped, budgets hold."""

import itertools
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.drawing import SEVEN, SHORT, Endpoint, Written, answers, chat, lines, problems
from tests.waiting import PATIENCE, until
from trainer import sample as stage
from trainer.__main__ import main
from trainer.generators import Drawn, GeneratorFailed, ProblemText
from trainer.lines import BadInput, read_solutions
from trainer.sample import Budget, read_problems, sample, solution_steps
from trainer.sample_files import SolutionFile


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (SEVEN, ("We add the two.", "$3 + 4 = 7$.\n\n# Answer\n\n7")),
        ("  Add.  \r\n7.\n# Answer: 7\n", ("  Add.", "7.\n\n# Answer\n\n7")),
        (SEVEN + "\n\n# Problem\n\nAnother.", ("We add the two.", "$3 + 4 = 7$.\n\n# Answer\n\n7")),
        (SEVEN + "\n# Problem", ("We add the two.", "$3 + 4 = 7$.\n\n# Answer\n\n7")),
        ("We have:\n\\[\n2\n\\]\nSo 2.\n\n# Answer\n\n2", ("We have:\n\\[\n2\n\\]", "So 2.\n\n# Answer\n\n2")),
        ("Add. \r\nSo.\r\n\r\n# Answer\r\n\r\n2\r\n", ("Add.", "So.\n\n# Answer\n\n2")),
        ("# Solution\n\nSo.\n\n# Answer\n\n\\matrix{\n1 &\n2\n}", ("So.\n\n# Answer\n\n\\matrix{\n1 &\n2\n}",)),
        ("# Answer\n\n7", ("# Answer\n\n7",)),
        ("We add the two.", None),
        ("We add.\n\n# Answers\n\n7", None),
        ("We add.\n\n# Answer\n\n", None),
        ("We add.\n\n# Answer\n\n# Problem\n\nAnother.", None),
        ("We add \0.\n\n# Answer\n\n7", None),
        ("We add \ud800.\n\n# Answer\n\n7", None),
        ("x" * 20_001 + "\n\n# Answer\n\n7", None),
    ],
)
def test_a_text_becomes_steps_with_the_answer_in_the_last(text: str, steps: tuple[str, ...] | None) -> None:
    assert solution_steps(text) == steps


def test_a_text_that_was_cut_off_in_its_answer_is_no_solution() -> None:
    assert solution_steps("Add.\n\n# Answer\n\n12", cut=True) is None
    assert solution_steps("Add.\n\n# Answer\n\n12\n\n# Prob", cut=True) == ("Add.\n\n# Answer\n\n12",)


def test_equal_solutions_are_kept_once_and_drawn_again(tmp_path: Path) -> None:
    report = sample(problems(1), generator=Written(*answers(1, 1, 2, 1, 3)), per_problem=3, out=tmp_path / "s.jsonl")
    assert (report.written, report.equal, report.requests) == (3, 2, 5)
    assert [line["steps"][0][-1] for line in lines(tmp_path / "s.jsonl")] == ["1", "2", "3"]


def test_a_uniform_sample_keeps_equal_solutions_under_keys_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    report = sample(problems(1), generator=Written(*answers(1, 1)), per_problem=2, out=file, keep_equal=True)
    report = sample(problems(1), generator=Written(*answers(1)), per_problem=3, out=file, keep_equal=True)
    assert (report.found, report.written, report.equal) == (2, 1, 0)
    assert len({one.solution.key for one in read_solutions(file)}) == 3


def test_a_generator_that_repeats_itself_ends(tmp_path: Path) -> None:
    report = sample(problems(1), generator=Written(*answers(*[1] * 99)), per_problem=3, out=tmp_path / "s.jsonl")
    assert (report.written, report.short) == (1, 1) and report.requests == 3 + 4 * 2  # what lacks is drawn four times more


def test_equal_texts_of_two_problems_are_two_solutions(tmp_path: Path) -> None:
    assert sample(problems(2), generator=Written(*answers(1, 1)), per_problem=1, out=tmp_path / "s.jsonl").written == 2


def test_two_sources_share_a_file_and_each_has_its_number(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Written(*answers(1, 2)), per_problem=2, out=file, source="a")
    report = sample(problems(1), generator=Written(*answers(2, 3, 4)), per_problem=2, out=file, source="b")
    assert (report.found, report.written, report.equal) == (0, 2, 1)
    assert [line["source"] for line in lines(file)] == ["a", "a", "b", "b"]


def test_the_next_call_uses_seeds_that_no_kept_text_had(tmp_path: Path) -> None:
    first, second = Written(*answers(1, 2)), Written(*answers(3, 4))
    sample(problems(1), generator=first, per_problem=2, out=tmp_path / "s.jsonl")
    sample(problems(1), generator=second, per_problem=4, out=tmp_path / "s.jsonl")
    assert len({one.seed for one in first.draws + second.draws}) == 4
    assert [one.number for one in first.draws + second.draws] == [0, 1, 2, 3]


def test_texts_that_never_have_an_answer_end_the_run_early(tmp_path: Path) -> None:
    generator = Written()
    with pytest.raises(GeneratorFailed, match="None of the first 64 texts can be used: 64 without the heading '# Answer'"):
        sample(problems(100), generator=generator, per_problem=10, out=tmp_path / "s.jsonl")
    assert len(generator.draws) == 64


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        (("I add.", "", "I add."), "2 without the heading '# Answer' and an answer below it, 1 empty. If the model runs here"),
        (("", " "), "empty. The model ends its text at once"),
        ((Drawn(None, "We add.\n\n# Answer\n\n7", 9, cut=True),), "cut off by the token limit. Raise --max-tokens."),
        ((Drawn(None, "We", 9, cut=True),), "cut off by the token limit. Raise --max-tokens. One begins: 'We'"),
        ((Drawn(None, "", 9, cut=True),), "empty though the token limit was reached. A model that thinks first needs more tokens"),
        ((Drawn(None, "We", 9, filtered=True),), "stopped by the endpoint's content filter. Use another endpoint"),
        (("x" * 20_001 + "\n\n# Answer\n\n7",), "longer than the site stores"),
    ],
)
def test_a_run_without_one_usable_text_ends_with_the_cause_and_the_remedy(
    texts: tuple[str | Drawn, ...], cause: str, tmp_path: Path
) -> None:
    class Saying(Written):
        def draw(self, draws: Any) -> Iterator[Drawn]:
            for draw, text in zip(draws, itertools.cycle(texts), strict=False):
                yield Drawn(draw, text, 9) if isinstance(text, str) else replace(text, draw=draw)

    with pytest.raises(GeneratorFailed) as ended:
        sample(problems(3), generator=Saying(), per_problem=1, out=tmp_path / "s.jsonl", budget=Budget(requests=3))
    assert "None of the first 3 texts can be used:" in str(ended.value) and cause in str(ended.value)


def test_a_run_whose_last_problem_is_too_hard_ends_well(tmp_path: Path) -> None:
    sample(problems(2), generator=Written(*answers(1)), per_problem=1, out=tmp_path / "s.jsonl")
    report = sample(problems(2), generator=Written(), per_problem=1, out=tmp_path / "s.jsonl")
    assert (report.found, report.written, report.short) == (1, 0, 1)


class Warm(Written):
    """A generator with settings, as an endpoint and a model have them."""

    def __init__(self, *texts: str, **settings: object) -> None:
        super().__init__(*texts)
        self.settings = {"temperature": 1.0, "revision": None} | settings


def test_each_line_names_what_its_text_was_drawn_with(tmp_path: Path) -> None:
    sample(problems(1), generator=Warm(*answers(1)), per_problem=1, out=tmp_path / "s.jsonl")
    settings = {"temperature": 1.0, "revision": None, "prompt": "default", "keep_equal": False}
    assert [line["drawn_with"] for line in lines(tmp_path / "s.jsonl")] == [settings]


@pytest.mark.parametrize(
    ("settings", "more", "named"),
    [
        ({"temperature": 0.5}, {}, "temperature 1.0 there and 0.5 now."),
        ({"revision": "a1"}, {}, 'revision not set there and "a1" now.'),
        ({"chat": True}, {}, "chat not set there and true now."),
        ({}, {"prompt": "Solve: {problem}"}, 'prompt "default" there and "'),
        ({"temperature": 0.5}, {"keep_equal": True}, "keep_equal false there and true now, temperature 1.0 there and 0.5 now."),
    ],
)
def test_a_file_does_not_continue_with_other_settings_of_one_source(
    settings: dict[str, object], more: dict[str, Any], named: str, tmp_path: Path
) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Warm(*answers(1)), per_problem=1, out=file)
    before, generator = file.read_bytes(), Warm(*answers(2), **settings)
    with pytest.raises(BadInput) as refused:
        sample(problems(1), generator=generator, per_problem=2, out=file, **more)
    assert named in str(refused.value) and "line 1" in str(refused.value) and "Use the same settings" in str(refused.value)
    assert file.read_bytes() == before and not generator.draws
    assert sample(problems(1), generator=generator, per_problem=1, out=file, source="another", **more).written == 1


def test_a_file_that_does_not_name_its_settings_continues(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Warm(*answers(1)), per_problem=1, out=file)
    file.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "drawn_with"}) + "\n" for line in lines(file)))
    assert sample(problems(1), generator=Warm(*answers(2), temperature=0.5), per_problem=2, out=file).written == 1


@pytest.mark.parametrize("torn", [b'{"problem": "Add 0 a', b'{"problem": "caf\xc3', b"{"])
def test_a_half_written_last_line_is_dropped_and_drawn_again(torn: bytes, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Written(*answers(1, 2)), per_problem=2, out=file)
    whole = file.read_bytes()
    file.write_bytes(whole + torn)
    report = sample(problems(1), generator=Written(*answers(3)), per_problem=3, out=file)
    assert (report.found, report.written) == (2, 1) and file.read_bytes().startswith(whole) and len(lines(file)) == 3


def test_a_last_line_that_lacks_only_its_line_break_stays(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Written(*answers(1, 2)), per_problem=2, out=file)
    file.write_bytes(file.read_bytes()[:-1])
    assert sample(problems(1), generator=Written(*answers(3)), per_problem=3, out=file).found == 2
    assert len(lines(file)) == 3


@pytest.mark.parametrize("other", ["not JSON\n", '{"problem": "Add."}\n', "[1]\n"])
def test_a_file_that_holds_something_else_is_left_alone(other: str, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(other)
    with pytest.raises(BadInput, match="line 1"):
        sample(problems(1), generator=Written(*answers(1)), per_problem=1, out=file)
    assert file.read_text() == other


def test_two_runs_never_write_one_file(tmp_path: Path) -> None:
    class Meddling(Written):
        def draw(self, draws: Any) -> Iterator[Drawn]:
            sample(problems(1), generator=Written(*answers(2)), per_problem=1, out=tmp_path / "s.jsonl")
            return super().draw(draws)

    with pytest.raises(BadInput, match="Another run is writing"):
        sample(problems(1), generator=Meddling(*answers(1)), per_problem=1, out=tmp_path / "s.jsonl")


def test_a_line_is_on_the_way_to_the_disk_before_the_next_text_is_drawn(tmp_path: Path) -> None:
    seen = []

    class Watching(Written):
        def draw(self, draws: Any) -> Iterator[Drawn]:
            for drawn in super().draw(draws):
                seen.append(len(lines(tmp_path / "s.jsonl")))
                yield drawn

    sample(problems(1), generator=Watching(*answers(1, 2, 3)), per_problem=3, out=tmp_path / "s.jsonl")
    assert seen == [0, 1, 2]


def test_a_full_disk_leaves_whole_lines_and_the_next_call_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    sample(problems(1), generator=Written(*answers(1)), per_problem=1, out=file)
    whole, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 50, limits[1]))  # the next line fits in part
    try:
        with pytest.raises(OSError, match="disk is full"):
            sample(problems(1), generator=Written(*answers(2)), per_problem=2, out=file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == whole
    assert sample(problems(1), generator=Written(*answers(2)), per_problem=2, out=file).written == 1


# --- the budget


def test_a_budget_of_requests_stops_cleanly_and_the_next_call_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    report = sample(problems(3), generator=Written(*answers(1, 2, 3, 4, 5, 6)), per_problem=2, out=file, budget=Budget(requests=3))
    assert (report.written, report.requests, report.problems, report.short) == (3, 3, 3, 2)
    assert report.stopped == "The rest of the budget is too small for another text: 30 tokens and 3 requests are used."
    assert sample(problems(3), generator=Written(*answers(1, 2, 3)), per_problem=2, out=file).stopped == ""
    assert len(lines(file)) == 6


def test_a_budget_of_tokens_is_never_exceeded_though_requests_run_at_once(endpoint: Endpoint, tmp_path: Path) -> None:
    generator = endpoint.generator(width=4, max_tokens=400)
    most = generator.most_tokens(stage.PROMPT.replace("{problem}", "Add 0 and 4."))
    endpoint.reply = lambda number, body: chat(f"So.\n\n# Answer\n\n{number}", tokens=most if number % 2 else 300)
    report = sample(problems(1), generator=generator, per_problem=50, out=tmp_path / "s.jsonl", budget=Budget(tokens=10 * most))
    assert 8 * most < report.tokens <= 10 * most and "too small for another text" in report.stopped


def test_a_budget_that_suffices_stops_nothing(tmp_path: Path) -> None:
    report = sample(problems(1), generator=Written(*answers(1, 2)), per_problem=2, out=tmp_path / "s.jsonl", budget=Budget(20, 2))
    assert report.written == 2 and report.stopped == ""


def test_progress_counts_what_was_there(tmp_path: Path) -> None:
    heard = []
    sample(problems(2), generator=Written(*answers(1, 2)), per_problem=1, out=tmp_path / "s.jsonl")
    sample(problems(2), generator=Written(*answers(3, 4)), per_problem=2, out=tmp_path / "s.jsonl", progress=heard.append)
    assert (heard[-1].phase, heard[-1].done, heard[-1].total) == ("sampling", 4, 4)


# --- problems


def test_problems_of_the_sites_formats_keep_what_the_site_needs(tmp_path: Path) -> None:
    def read(line: str) -> ProblemText:
        (tmp_path / "problems.jsonl").write_text(line + "\n\n" + line)
        (problem,) = read_problems(tmp_path / "problems.jsonl")
        return problem

    a = read('{"problem": "A?", "answer": 5.0, "id": "a", "level": "3", "steps": ["old"], "source": "x"}')
    b = read(
        '{"problem": "B?", "unique_id": "test/algebra/1.json", "answer": "2", "solution": "Worked.", "type": "Algebra", "level": "Level 1"}'
    )
    c = read('{"question": "C?", "answer": "Worked <<1+1=2>>\\n#### 2"}')
    d = read('{"problem": "D?", "problem_key": "d", "steps": ["old"]}')
    assert (a.key, a.fields) == ("a", {"id": "a", "answer": "5.0", "level": "3"})
    assert b.key == "test/algebra/1.json"
    assert b.fields == {"id": b.key, "split": "test", "answer": "2", "subject": "Algebra", "level": "1", "reference_solution": "Worked."}
    assert c.text == "C?" and len(c.key) == 16 and c.fields == {"answer": "2", "reference_solution": "Worked"}
    assert (d.key, d.fields) == ("d", {})


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "line 2: the file ends inside the object"),
        ("[1]", "line 2: a list where an object is expected"),
        ('{"problem": " "}', "line 2: the problem is empty"),
        ('{"problem": "Other?", "id": "a"}', "line 2: an earlier line uses the id 'a' for another problem"),
        (b'{"problem": "\xff"}', "line 2: not UTF-8"),
    ],
)
def test_a_bad_problem_is_named(bad: str | bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_bytes(b'{"problem": "A?", "id": "a"}\n' + (bad if isinstance(bad, bytes) else bad.encode()) + b"\n")
    with pytest.raises(BadInput, match=said):
        read_problems(file)


# --- the site and the command line


@pytest.mark.django_db
def test_the_site_loads_the_lines(endpoint: Endpoint, tmp_path: Path) -> None:
    from annotation.ingest import load_solutions
    from annotation.models import Outcome, Solution
    from annotation.projects import create_project

    file = tmp_path / "solutions.jsonl"
    endpoint.reply = lambda number, body: chat(SEVEN if number else SEVEN.replace("7", "8"))
    sample([ProblemText("p3", "Add 3 and 4.", {"id": "p3", "answer": "7"})], generator=endpoint.generator(), per_problem=2, out=file)
    project = create_project("sampled", name="Sampled")
    assert load_solutions(file, project=project).solutions == 2
    stored = {one.final_answer: one.outcome for one in Solution.objects.select_related("problem")}
    assert stored == {"7": Outcome.CORRECT, "8": Outcome.WRONG}


@pytest.fixture
def asked_for(tmp_path: Path) -> list[str]:
    (tmp_path / "problems.jsonl").write_text('{"problem": "Add 3 and 4.", "answer": "7"}\n{"problem": "Add 1 and 4.", "answer": "5"}\n')
    return ["sample", "--problems", str(tmp_path / "problems.jsonl"), "--out", str(tmp_path / "s.jsonl"), "--per-problem", "2"]


def test_the_command_samples_and_goes_on(
    endpoint: Endpoint, asked_for: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--model", "sums-1b", "--endpoint", endpoint.url, "--width", "1"]
    assert main([*asked_for, *where, "--budget-requests", "3"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["written"] == 3 and "too small for another text" in said["stopped"]
    assert main([*asked_for, *where, "--request", '{"top_k": 5}']) == 2
    assert 'request {} there and {"top_k": 5} now' in capsys.readouterr().err
    assert main([*asked_for, *where]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1
    assert len(lines(tmp_path / "s.jsonl")) == 4


def test_the_command_runs_a_local_model_with_a_prompt_of_its_own(
    chain: Path, asked_for: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompt.txt").write_text(SHORT)
    assert main([*asked_for, "--base", str(chain), "--prompt", str(tmp_path / "prompt.txt"), "--max-tokens", "10", "--keep-equal"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 4


def test_a_killed_run_loses_nothing_that_came_in(endpoint: Endpoint, asked_for: list[str], tmp_path: Path) -> None:
    down = threading.Event()
    endpoint.reply = lambda number, body: chat(f"So.\n\n# Answer\n\n{number}") if number < 3 else (down.wait(PATIENCE), (500, "{}"))[1]
    where = ["--model", "sums-1b", "--endpoint", endpoint.url, "--width", "1"]
    file = tmp_path / "s.jsonl"
    with subprocess.Popen([sys.executable, "-m", "trainer", *asked_for, *where], stderr=subprocess.PIPE) as process:
        until(lambda: len(endpoint.asked) == 4 or process.poll() is not None, what="the fourth text is asked for")
        process.kill()
    down.set()
    assert process.returncode == -9 and len(lines(file)) == 3
    endpoint.reply = lambda number, body: chat(f"So.\n\n# Answer\n\n{number}")
    assert main([*asked_for, *where]) == 0
    assert len(lines(file)) == 4


def test_ctrl_c_says_how_to_go_on(
    endpoint: Endpoint, asked_for: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "sample", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main([*asked_for, "--model", "sums-1b", "--endpoint", endpoint.url])
    assert stopped.value.code == 130 and "The same command continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Choose one generator"),
        (["--base", "a", "--model", "b"], "Choose one generator"),
        (["--base", "./nowhere"], "There is no model folder ./nowhere"),
        (["--model", "gpt"], "Set OPENAI_API_KEY"),
        (["--model", "gpt", "--endpoint", "localhost:8000/v1"], "is not a web address"),
        (["--model", "gpt", "--top-p", "2"], "--top-p"),
        (["--model", "gpt", "--endpoint", "http://127.0.0.1:9/v1", "--retries", "0"], "cannot be reached"),
        (["--model", "gpt", "--endpoint", "http://127.0.0.1:9/v1", "--prompt", "{tmp}/no-place.txt"], "Write {problem} where"),
    ],
)
def test_what_the_command_cannot_do_is_one_sentence_and_exit_code_2(
    options: list[str],
    said: str,
    asked_for: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "no-place.txt").write_text("Solve it.")
    assert main([*asked_for, *(option.replace("{tmp}", str(tmp_path)) for option in options)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


@pytest.mark.parametrize("missing", ["tokenizer", "safetensors"])
def test_a_base_that_lacks_something_is_one_sentence(
    missing: str, chain: Path, asked_for: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for file in chain.iterdir():
        if missing not in file.name:
            os.link(file, base / file.name)
    if missing == "safetensors":
        (base / "pytorch_model.bin").touch()
    assert main([*asked_for, "--base", str(base)]) == 2
    assert ("holds no tokenizer" if missing == "tokenizer" else "only as a pickle") in capsys.readouterr().err


def test_asking_an_endpoint_never_loads_torch(tmp_path: Path) -> None:
    script = "import sys, trainer.sample as s; s.EndpointGenerator('m', endpoint='http://x/v1'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_file_of_somebody_else_is_never_cut_off(tmp_path: Path) -> None:
    for content in (b"years of work, on one line", b'{"title": "half of something', b"\x89PNG\r\n\x1a\n\x00"):
        (tmp_path / "s.jsonl").write_bytes(content)
        with pytest.raises(BadInput, match="line 1: not JSON"), SolutionFile(tmp_path / "s.jsonl", "m"):
            pytest.fail("It took the file for its own.")
        assert (tmp_path / "s.jsonl").read_bytes() == content
