"""The two judges that decide whether answers are equal, and the program of the child process that runs them.

All slow or unsafe work runs here, under limits of the kernel, and never in the caller. It is run by its path and imports nothing of
the site.
"""

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any


class Unreadable(ValueError):
    """The conservative grader cannot read this notation."""


_TOKEN = re.compile(r"\s*(\d+\.?\d*|\\[a-zA-Z]+|pi|sqrt|[a-zA-Z]|\S)", re.ASCII)
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "ln", "log", "exp", "arcsin", "arccos", "arctan"}
_GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "rho", "sigma", "tau", "phi", "varphi", "omega"}


class _Reader:
    """Turns normalised LaTeX into an exact sympy expression by recursive descent. Never evaluates text as code.

    It is a second opinion: math-verify uses another grammar, so both seldom misread an answer in the same way.
    """

    def __init__(self, latex: str) -> None:
        import sympy

        # A mixed number: 3\frac{1}{2} is 3 + 1/2.
        latex = re.sub(r"(?<![\d.^_}])(\d+)(\\frac\{\d+\}\{\d+\})", r"(\1+\2)", latex)
        if re.search(r"\^\d\d|[a-zA-Z]{4,}", re.sub(r"\\[a-zA-Z]+|sqrt|pi", " ", latex)):
            raise Unreadable(latex)  # LaTeX reads x^23 as x^2 * 3, people as x^23; long runs of letters are words
        self.sympy, self.tokens, self.at = sympy, [found[1] for found in _TOKEN.finditer(latex)], 0

    def read(self) -> Any:
        value = self._sum()
        if self.at < len(self.tokens) or value.has(self.sympy.zoo, self.sympy.nan):
            raise Unreadable(self._peek())
        return value

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self, *expected: str) -> str:
        token = self._peek()
        if not token or expected and token not in expected:
            raise Unreadable(token)
        self.at += 1
        return token

    def _sum(self) -> Any:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = value + self._product() if self._next() == "+" else value - self._product()
        return value

    def _product(self) -> Any:
        value, divided = self._signed(), False
        while token := self._peek():
            if token in ("*", r"\cdot", r"\times"):
                self._next()
                value *= self._signed()
            elif token == "/":
                self._next()
                value, divided = value / self._signed(), True
            elif token in "+-)}],!^":
                break
            elif divided:
                raise Unreadable("a/bc")  # (a/b)c or a/(bc): authors mean either
            else:
                value *= self._power()
        return value

    def _signed(self) -> Any:
        if self._peek() in ("+", "-"):
            return self._signed() if self._next() == "+" else -self._signed()
        return self._power()

    def _power(self) -> Any:
        value = self._atom()
        while self._peek() == "!":
            self._next()
            value = self.sympy.factorial(value)
        if self._peek() == "^":
            self._next()
            value = value ** (self._signed() if self._peek() == "-" else self._power())
        return value

    def _group(self, opening: str, closing: str) -> Any:
        self._next(opening)
        value = self._sum()
        self._next(closing)
        return value

    def _atom(self) -> Any:
        token = self._peek()
        if token == "(" or token == "{":
            return self._group(token, ")" if token == "(" else "}")
        self._next()
        name = token.removeprefix("\\")
        if token[0].isdecimal():
            return self.sympy.Rational(token)
        if name == "pi":
            return self.sympy.pi
        if name == "infty":
            return self.sympy.oo
        if name == "frac":
            return self._group("{", "}") / self._group("{", "}")
        if name == "binom":
            return self.sympy.binomial(self._group("{", "}"), self._group("{", "}"))
        if name == "sqrt":
            degree = self._group("[", "]") if self._peek() == "[" else 2
            return self.sympy.root(self._group("(", ")") if self._peek() == "(" else self._group("{", "}"), degree)
        if name in _FUNCTIONS and token != name:
            function = getattr(self.sympy, {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}.get(name, name))
            if self._peek() == "^":  # \sin^2 x
                self._next()
                power = self._atom()
                return function(self._power()) ** power
            return function(self._power())
        if len(token) == 1 and token.isalpha() or name in _GREEK:
            return self.sympy.Symbol(name)
        raise Unreadable(token)


_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix)\}(.*)\\end\{\1\}")
_RELATION = re.compile(r"(\\(?:ne|le|ge|in|cup|cap|pm)(?![a-z])|[=<>:])")


def _parts(text: str) -> tuple[tuple[object, ...], list[str]] | None:
    """Split a tuple, interval, set, list, matrix or relation into its shape and its parts. Comparable answers have the same shape."""
    if matrix := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in matrix[2].split("\\\\") if row.strip()]
        return ("matrix", *map(len, rows)), [cell for row in rows for cell in row]
    if not text:
        return None
    if (relation := _RELATION.split(text))[1:]:
        return ("relation", *relation[1::2]), relation[::2]
    plain = text.replace(r"\{", "{").replace(r"\}", "}") if text.startswith(r"\{") and text.endswith(r"\}") else text
    opening, closing = (plain[0], plain[-1]) if plain[0] in "([{" and plain[-1] in ")]}" else ("", "")
    parts, depth = [""], 0
    for c in plain[1:-1] if opening else plain:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:  # the outer brackets do not match each other: (1+x)(1-x)
            return None
        if c in ",;" and depth == 0:
            parts.append("")
        elif c != " ":
            parts[-1] += c
    if len(parts) == 1 and (opening in ("", "(") or plain is text):
        return None
    return (opening, closing, len(parts)), parts


_INTEGER = re.compile(r"-?\d+", re.ASCII)
_FRACTION = re.compile(r"-?(?:\d+|\\frac\{\d+\}\{\d+\})", re.ASCII)
_OPAQUE = re.compile(r"[A-Za-z]{3,}|-?[0-9A-F]+_(?:\d|\{\d+\})")  # words, and numerals in a base: compared as text
_PRIMES = (101, 131, 167, 211, 263, 331, 419, 523)


def _judge_conservatively(answer: str, reference: str) -> bool:
    """Tell whether two normalised answers are the same by the rule of Lightman et al. (2023), appendix on grading.

    They are if the strings are equal or the exact difference is 0. Integers and fractions must be written alike, and order counts.
    """
    if answer == reference:
        return True
    shapes = _parts(answer), _parts(reference)
    if any(shapes):
        if not all(shapes) or shapes[0][0] != shapes[1][0]:  # type: ignore[index]
            return False
        return all(_judge_conservatively(*pair) for pair in zip(shapes[0][1], shapes[1][1], strict=True))  # type: ignore[index]
    answer, reference = answer.rstrip("%"), reference.rstrip("%")
    if _OPAQUE.fullmatch(answer) or _OPAQUE.fullmatch(reference) or _INTEGER.fullmatch(reference):
        return answer == reference
    if _FRACTION.fullmatch(answer) and _FRACTION.fullmatch(reference):
        return answer == reference
    import sympy

    difference = _Reader(answer).read() - _Reader(reference).read()
    if difference.is_Rational or difference.is_infinite:
        return bool(difference == 0)
    # Most pairs differ clearly. Their values at one unusual positive point show it in a hundredth of the time of `simplify`.
    point = {symbol: sympy.Rational(prime, 97) for symbol, prime in zip(sorted(difference.free_symbols, key=str), _PRIMES, strict=False)}
    value = sympy.N(difference.subs(point), 30)
    if value.is_number and abs(value) > sympy.Rational(1, 10**20):
        return False
    if sympy.simplify(difference) == 0 or difference.equals(0):
        return True
    raise Unreadable("zero to 20 digits, and no proof")


def _judge_with_math_verify(answer: str, reference: str) -> bool:
    import math_verify

    # Without math-verify's own timeouts, which need SIGALRM, miss long C calls and give "wrong": the kernel's timer ends this process.
    gold, stated = _parse_for_math_verify(reference), _parse_for_math_verify(answer)
    return bool(math_verify.verify(gold, stated, timeout_seconds=None, raise_on_error=True))


@lru_cache(maxsize=1024)  # parsing costs more than comparing, and all solutions of a problem share its reference answer
def _parse_for_math_verify(text: str) -> list[Any]:
    import math_verify
    from sympy import Basic, MatrixBase

    read = math_verify.parse(f"${text}$", parsing_timeout=None, raise_on_error=True)
    if not any(isinstance(value, Basic | MatrixBase) for value in read):
        raise Unreadable(text)  # it returned only the text: two such answers would count as different
    return list(read)


JUDGES: dict[str, Callable[[str, str], bool]] = {"the conservative rule": _judge_conservatively, "math-verify": _judge_with_math_verify}
OUT_OF_MEMORY = 3  # exit status
PROGRAM = __file__


def _judge_pairs(timeout: float, memory: int) -> None:
    """Run the child process: read JSON pairs from stdin, and write the verdict of each judge to stdout as a JSON line."""
    verdicts = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        import logging
        import resource

        import math_verify  # noqa: F401

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
            try:
                is_equal = judge(*pair)
                verdict = [is_equal, f"{name} says {'correct' if is_equal else 'wrong'}"]
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            except Exception:
                verdict = [None, f"{name} cannot read it"]
            print(json.dumps(verdict), file=verdicts, flush=True)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    _judge_pairs(float(sys.argv[1]), int(sys.argv[2]))
