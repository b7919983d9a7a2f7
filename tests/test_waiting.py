"""No test waits a fixed time, asserts a duration or sets a time limit of its own: tests/waiting.py waits for conditions, with one limit."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import waiting

HERE = Path(__file__).resolve().parent
SOURCES = sorted(path for path in HERE.rglob("*.py") if path.name not in ("waiting.py", "test_waiting.py"))
CLOCKS = {"sleep", "wait_for_timeout", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns"}
IN_TEXT = re.compile(rf"\b(?:time\.time|{'|'.join(CLOCKS)}|set(?:Timeout|Interval))\(")  # in programs and scripts that tests hold as texts
# Calls that wait: a number in them is a limit. `timeout=` of anything else (a grader, an endpoint) is a setting of what is tested.
WAITS = {"wait", "wait_for", "join", "communicate", "run", "check_output", "Barrier", "open", "urlopen", "get", "acquire", "set_options"}
WAITS |= {"expect_response", "expect_request", "expect_event", "expect_download", "wait_for_function", "wait_for_url", "wait_for_selector"}
LIMITS = {"timeout", "seconds"}


def is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Find every clock, fixed wait and time limit in the source of a test: the line and what stands there."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in CLOCKS:
                yield node.lineno, name
            case ast.Attribute(attr="time", value=ast.Name(id="time")):
                yield node.lineno, "time.time"
            case ast.Constant(value=str(text)) if found := IN_TEXT.search(text):
                yield node.lineno, found[0]
            case ast.Call() if name_of(node) in WAITS or name_of(node).startswith("to_"):
                limits = [keyword.value for keyword in node.keywords if keyword.arg in LIMITS]
                if name_of(node) in ("wait", "join", "acquire"):
                    limits += node.args
                if any(map(is_number, limits)):
                    yield node.lineno, f"{name_of(node)} with a limit of its own"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HERE)))
def test_a_test_waits_for_conditions_and_asserts_no_duration(path: Path) -> None:
    assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import time\ntime.sleep(1)",
        "from time import sleep",
        "page.wait_for_timeout(20)",
        "began = time.monotonic()",
        "assert time.perf_counter() - began < 3",
        "assert time.time() < began + 3",
        "PROGRAM = 'import time; time.sleep(60)'",
        "page.evaluate('new Promise((resolve) => setTimeout(resolve, 100))')",
        "process.wait(timeout=30)",
        "event.wait(10)",
        "thread.join(60)",
        "threading.Barrier(3, timeout=10)",
        "expect(page).to_have_title('x', timeout=500)",
        "subprocess.run(command, timeout=240)",
    ],
)
def test_a_planted_wait_is_seen(planted: str) -> None:
    assert list(faults(planted))


@pytest.mark.parametrize("harmless", ["event.wait(PATIENCE)", "', '.join(names)", "grade('1', '2', timeout=0.5)", "lease(seconds=5)", "''"])
def test_what_waits_for_a_condition_or_sets_what_is_tested_is_no_fault(harmless: str) -> None:
    assert list(faults(harmless)) == []


def test_a_condition_is_asked_until_it_holds() -> None:
    answers = iter([0, None, "", "there"])
    assert waiting.until(lambda: next(answers), what="an answer") == "there"


def test_a_condition_that_never_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(AssertionError, match="Not so after 0 s: the bus comes"):
        waiting.until(lambda: False, what="the bus comes")
    with pytest.raises(AssertionError, match="there are 2 of 3"):
        waiting.until(lambda: False, what=lambda: "there are 2 of 3")
