"""The two readings that decide whether answers are equal, and the program of the child process that runs them.

All slow or unsafe work runs here, under limits of the kernel, and never in the caller. It is run by its path.
"""

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any


def _judge_by_our_reader(answer: str, reference: str, rules: list[bool]) -> tuple[bool | None, str]:
    """Compare the normal forms."""
    from trainer.answers.algebra import Unreadable
    from trainer.answers.comparing import compare
    from trainer.answers.rules import Rules
    from trainer.answers.texts import differ_in_separators, normalise

    try:
        is_equal = compare(normalise(answer), normalise(reference), Rules(*rules))
    except Unreadable as unreadable:
        return None, str(unreadable)[:80]
    if not is_equal and differ_in_separators(answer, reference):
        return None, "a separator has two meanings"
    return is_equal, ""


def _judge_with_math_verify(answer: str, reference: str, rules: list[bool]) -> tuple[bool | None, str]:
    """Compare the raw texts: math-verify has its own way to normalise them."""
    import math_verify

    # Without math-verify's own timeouts, which need SIGALRM, miss long C calls and give "wrong": the kernel's timer ends this process.
    gold, stated = _parse_for_math_verify(reference), _parse_for_math_verify(answer)
    if gold is None or stated is None:
        return None, ""
    return bool(math_verify.verify(gold, stated, timeout_seconds=None, raise_on_error=True)), ""


_DELIMITED = re.compile(r"(?<!\\)\$[^$]+(?<!\\)\$|\\\(|\\\[|\\boxed")


@lru_cache(maxsize=1024)  # parsing costs more than comparing, and all solutions of a problem share its reference answer
def _parse_for_math_verify(text: str) -> list[Any] | None:
    import math_verify
    from sympy import Basic, MatrixBase

    text = re.sub(r"[\s.]+$", "", text)
    if not _DELIMITED.search(text):
        text = "$" + re.sub(r"\\?\$", "", text) + "$"  # what is left is money
    # Its other way to read an answer takes the first number out of a text and drops the rest.
    read = math_verify.parse(text, [math_verify.LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True)
    return list(read) if any(isinstance(value, Basic | MatrixBase) for value in read) else None


Judge = Callable[[str, str, list[bool]], tuple[bool | None, str]]
JUDGES: dict[str, Judge] = {"our reader": _judge_by_our_reader, "math-verify": _judge_with_math_verify}
OUT_OF_MEMORY = 3  # exit status
PROGRAM = __file__


def _judge_pairs(timeout: float, memory: int) -> None:
    """Run the child process: read JSON pairs with their rules from stdin, and write the verdict of each judge to stdout as a JSON line."""
    verdicts = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        import logging
        import resource

        import math_verify  # noqa: F401

        import trainer.answers.comparing  # noqa: F401

        logging.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit on address space
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except Exception as error:
        print(json.dumps(str(error)), file=verdicts, flush=True)
        return
    os.dup2(silence, 1)  # the parsers sometimes print to both
    os.dup2(silence, 2)
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))
    print(json.dumps("ready"), file=verdicts, flush=True)
    for line in sys.stdin:
        pair = json.loads(line)
        # Both timers kill this process inside the kernel, so a loop in C or a lost parent cannot keep it alive. CPU time counts, so a busy
        # machine grades like an idle one. The wall clock is only a second limit.
        signal.setitimer(signal.ITIMER_PROF, timeout)
        signal.setitimer(signal.ITIMER_REAL, 4 * timeout)
        for name, judge in JUDGES.items():
            verdict: list[bool | str | None]
            try:
                is_equal, doubt = judge(*pair)
                says = "cannot read it" if is_equal is None else "says correct" if is_equal else "says wrong"
                verdict = [is_equal, f"{name} {f'cannot tell ({doubt})' if doubt else says}"]
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            except Exception:
                verdict = [None, f"{name} cannot read it"]
            print(json.dumps(verdict), file=verdicts, flush=True)
            if verdict[0] is True:  # proved by an exact calculation: no second reading is needed
                break
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # last, so that no module here hides one of the standard library
    _judge_pairs(float(sys.argv[1]), int(sys.argv[2]))
