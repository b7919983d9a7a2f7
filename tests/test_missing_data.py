"""A run without the public data says so at its end."""

from types import SimpleNamespace

from tests.conftest import NO_DATA, pytest_terminal_summary


def test_a_run_says_how_many_tests_were_skipped_without_data() -> None:
    reasons = [
        f"Skipped: {NO_DATA} /nonexistent: set STEPMARK_DATA",
        f"Skipped: {NO_DATA} /nonexistent: set STEPMARK_DATA",
        "Skipped: no GPU",
    ]
    lines: list[str] = []
    skipped = [SimpleNamespace(longrepr=("test_some.py", 1, reason)) for reason in reasons]
    config = SimpleNamespace(getoption=lambda name, default: default)
    pytest_terminal_summary(SimpleNamespace(stats={"skipped": skipped}, write_line=lambda line, **_: lines.append(line)), config)
    assert lines == ["2 tests were skipped because the public data is missing. Set STEPMARK_DATA to its folder to run them."]
    pytest_terminal_summary(SimpleNamespace(stats={}, write_line=lambda line, **_: lines.append(line)), config)
    assert len(lines) == 1
