r"""Reads an expression in normal form into an exact sympy value, and proves whether two values are equal. Runs only in the child process.

A recursive descent over tokens: no text is ever evaluated as code. It reads what people write: functions without brackets (`sin 2x`,
`\ln 2`), mixed numbers, repeating decimals, factorials, binomials, logarithms with a base, absolute values, degrees.
"""

import re
from functools import lru_cache
from typing import Any

import sympy


class Unreadable(ValueError):
    """The reader does not know this notation, or it has two meanings."""


_FUNCTIONS = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc, "cosec": sympy.csc,
    "cis": lambda angle: sympy.exp(sympy.I * angle),
    "ln": sympy.log, "log": None, "lg": None, "exp": sympy.exp, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "coth": sympy.coth, "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "asin": sympy.asin, "acos": sympy.acos,
    "atan": sympy.atan,
    "arccot": sympy.acot, "arcsec": sympy.asec, "arccsc": sympy.acsc, "arctg": sympy.atan,
    "abs": sympy.Abs, "floor": sympy.floor, "ceil": sympy.ceiling, "max": sympy.Max, "min": sympy.Min, "gcd": sympy.gcd, "lcm": sympy.lcm,
    "sgn": sympy.sign, "det": None, "arsinh": sympy.asinh, "arcosh": sympy.acosh, "artanh": sympy.atanh,
}  # fmt: skip
_TRIGONOMETRIC = {"sin", "cos", "tan", "cot", "sec", "csc"}
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot", "sec": "arcsec", "csc": "arccsc", "sinh": "arsinh",
            "cosh": "arcosh", "tanh": "artanh"}  # fmt: skip
_GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma",
          "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
          "ell"}  # fmt: skip
_NAMES = "|".join(sorted(_FUNCTIONS, key=len, reverse=True))
_TOKEN = re.compile(
    rf"\s*(\d+(?:\.\d+)?\\overline\{{\d+\}}|\d+\.\\overline\{{\d+\}}|\d+\.\d*\(\d+\)|\d+(?:\.\d+)?|\\[a-zA-Z]+|(?:{_NAMES})(?![a-z]{{2}})|[a-zA-Z]|\S)",
    re.ASCII,
)
_LOG_BASE = sympy.Symbol("the base of a logarithm without base", positive=True)
_MIXED = re.compile(r"(?<![\d.^_}\)a-zA-Z])(\d+)\\frac\{(\d+)\}\{(\d+)\}")
MOST_DIGITS = 4_000  # of a power or factorial that is written out


def _sum_of_mixed(number: re.Match[str]) -> str:
    if int(number[2]) >= int(number[3]):
        raise Unreadable(number[0])  # 2\\frac{3}{2} can be a product
    return f"({number[1]}+\\frac{{{number[2]}}}{{{number[3]}}})"


class _Reader:
    def __init__(self, latex: str) -> None:
        latex = _MIXED.sub(_sum_of_mixed, latex)
        self.text = latex
        if re.search(r"[a-zA-Z]{4,}", re.sub(rf"\\[a-zA-Z]+|{_NAMES}", " ", latex)):
            raise Unreadable(latex)  # a long run of letters is a word
        self.tokens = [found[1] for found in _TOKEN.finditer(latex)]
        self.at = 0
        self.bars = 0

    def read(self) -> Any:
        value = self._sum()
        if self.at < len(self.tokens) or value.has(sympy.zoo, sympy.nan):
            raise Unreadable(self._peek())
        return value

    def _peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

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
            elif self._ends(token):
                break
            elif divided:
                raise Unreadable("a/bc")  # (a/b)c or a/(bc): authors mean either
            else:
                if token[0].isdecimal() and re.match(r"[\da-zA-Z]", self._peek(-1)):
                    raise Unreadable("a number right after another or a letter")
                value *= self._power()
        return value

    def _ends(self, token: str) -> bool:
        return (
            token in ("+", "-", ")", "}", "]", ",", "!", "^", r"\rfloor", r"\rceil", "=", "<", ">", ":") or token == "|" and self.bars > 0
        )

    def _signed(self) -> Any:
        if self._peek() in ("+", "-"):
            return self._signed() if self._next() == "+" else -self._signed()
        return self._power()

    def _power(self) -> Any:
        value = self._atom()
        while self._peek() in ("!", r"\degree"):
            if self._next() == "!":
                if value.is_number and not (value.is_Integer and value < 2_100) or self._peek() == "!":
                    raise Unreadable("!")
                value = sympy.factorial(value)
            else:
                value = value * sympy.pi / 180
        if self._peek() == "^":
            self._next()
            exponent = self._signed() if self._peek() == "-" else self._power()
            if value.is_negative and exponent.is_Rational and exponent.q % 2 and exponent.q > 1:
                raise Unreadable("(-8)^{1/3}")  # -2, or the complex root
            value = _raised(value, exponent)
        return value

    def _group(self, opening: str, closing: str) -> Any:
        self._next(opening)
        bars, self.bars = self.bars, 0
        value = self._sum()
        self.bars = bars
        self._next(closing)
        return value

    def _arguments(self) -> list[Any]:
        """Read the values between round brackets."""
        self._next("(")
        bars, self.bars = self.bars, 0
        values = [self._sum()]
        while self._peek() == ",":
            self._next()
            values.append(self._sum())
        self.bars = bars
        self._next(")")
        return values

    def _argument(self) -> Any:
        r"""Read what a function without brackets is applied to: `sin 2x`, but `\sin x \cos x` is a product."""
        if self._peek() == "(":
            return self._group("(", ")")
        if self._peek() == "{":
            return self._group("{", "}")
        value = self._signed()
        while (token := self._peek()) and not self._ends(token):
            if token in ("(", "/", "*", r"\cdot", r"\times") or token.removeprefix("\\") in _FUNCTIONS:
                break
            value *= self._power()
        if self._peek() == "/" and self._peek(1).removeprefix("\\") not in _FUNCTIONS:
            raise Unreadable("sin x/y")  # (sin x)/y or sin(x/y)
        return value

    def _name(self, name: str) -> Any:
        """Read a variable with its subscript and primes."""
        if self._peek() == "_":
            self._next()
            if self._peek() == "{":
                self._next()
                inside = []
                while self._peek() not in ("}", ""):
                    inside.append(self._next())
                self._next("}")
                name += "_" + "".join(inside)
            else:
                name += "_" + self._next()
        while self._peek() == "'":
            name += self._next()
        return sympy.Symbol(name)

    def _atom(self) -> Any:
        token = self._peek()
        if token == "(" or token == "{":
            return self._group(token, ")" if token == "(" else "}")
        if token == "[":
            return self._group("[", "]")
        self._next()
        name = token.removeprefix("\\")
        if token[0].isdecimal():
            return _number(token)
        if token == "|":
            if self.bars:
                raise Unreadable("|a|b|")
            self.bars += 1
            value = self._sum()
            self.bars -= 1
            self._next("|")
            return sympy.Abs(value)
        if token == r"\lfloor" or token == r"\lceil":
            value = self._sum()
            self._next(token.replace(r"\l", r"\r"))
            return sympy.floor(value) if name == "lfloor" else sympy.ceiling(value)
        if name == "pi":
            return sympy.pi
        if token == r"\infty":
            return sympy.oo
        if token == r"\frac":
            return self._group("{", "}") / self._group("{", "}")
        if token == r"\binom":
            return sympy.binomial(self._group("{", "}"), self._group("{", "}"))
        if token == r"\sqrt":
            degree = self._group("[", "]") if self._peek() == "[" else 2
            inside = self._group("(", ")") if self._peek() == "(" else self._group("{", "}")
            if getattr(degree, "is_odd", False) and inside.is_negative:
                return -sympy.root(-inside, degree)  # the cube root of -8 is -2
            return sympy.root(inside, degree)
        if name in _FUNCTIONS:
            return self._function(name)
        if token == "C" and self._peek() == "(" and self._peek(2) == ",":
            return sympy.binomial(*self._arguments())
        if token == "e" and self._peek() not in ("_", "'"):
            return sympy.E
        if token == "i" and self._peek() not in ("_", "'"):
            return sympy.I
        if re.fullmatch("[a-zA-Z]", token) or name in _GREEK and token != name:
            return self._name(name)
        raise Unreadable(token)

    def _function(self, name: str) -> Any:
        power, base = None, None
        while self._peek() in ("^", "_"):  # \sin^2 x, \log_2 8, \log_{10}^2 x
            if self._next() == "_":
                base = self._group("{", "}") if self._peek() == "{" else self._atom()
            elif (
                self._peek() == "-"
                and self._peek(1) == "1"
                or self._peek() == "{"
                and self.tokens[self.at : self.at + 4] == ["{", "-", "1", "}"]
            ):
                self.at += 4 if self._peek() == "{" else 2
                if name not in _INVERSE:
                    raise Unreadable(name)
                name = _INVERSE[name]
            else:
                power = self._group("{", "}") if self._peek() == "{" else self._atom()
        if name in ("log", "lg"):
            base = base if base is not None else (sympy.Integer(10) if name == "lg" else None)
            argument = self._argument()
            value = sympy.log(argument) / _LOG_BASE if base is None else sympy.log(argument, base)
        elif base is not None or _FUNCTIONS[name] is None:
            raise Unreadable(name)
        elif name in ("max", "min", "gcd", "lcm"):
            value = _FUNCTIONS[name](*self._arguments())
        else:
            bare = self._peek().isdecimal()
            argument = self._argument()
            if bare and name in _TRIGONOMETRIC and argument.is_Integer and argument >= 15:
                raise Unreadable("degrees or radians")
            value = _FUNCTIONS[name](argument)
        return value if power is None else value**power


def _number(token: str) -> Any:
    repeating = re.fullmatch(r"(\d+)(?:\.(\d*))?(?:\\overline\{(\d+)\}|\((\d+)\))", token)
    if not repeating:
        return sympy.Rational(token)
    whole, fixed, block = repeating[1], repeating[2] or "", repeating[3] or repeating[4]
    if "." not in token:
        raise Unreadable(token)
    scale = 10 ** len(fixed)
    return sympy.Integer(whole) + sympy.Rational(int(fixed or 0), scale) + sympy.Rational(int(block), scale * (10 ** len(block) - 1))


def _raised(base: Any, exponent: Any) -> Any:
    if base.is_Rational and exponent.is_Integer and base not in (0, 1, -1):
        digits = len(str(max(abs(base.p), base.q))) if max(abs(base.p), base.q) < 10**1000 else MOST_DIGITS
        if abs(exponent) * digits > MOST_DIGITS:
            return sympy.Pow(base, exponent, evaluate=False)
    return base**exponent


@lru_cache(maxsize=4096)
def read(text: str) -> Any:
    """Return the sympy value of an expression in normal form. Raises Unreadable."""
    if chosen := re.fullmatch(r"C_\{?(\d+)\}?\^\{?(\d+)\}?|C\^\{?(\d+)\}?_\{?(\d+)\}?", text):
        return sympy.binomial(int(chosen[1] or chosen[4]), int(chosen[2] or chosen[3]))
    if "C" in text and (choose := re.fullmatch(r"(?:\{\}|\^)?_?\{?(\d+)\}?C_?\{?(\d+)\}?", text)):
        return sympy.binomial(int(choose[1]), int(choose[2]))
    if ordered := re.fullmatch(r"(?:\{\}|\^)?_?\{?(\d{1,3})\}?P_?\{?(\d{1,3})\}?", text):
        return sympy.ff(int(ordered[1]), int(ordered[2]))
    if dots := re.fullmatch(r"(-?\d+\.)(\d+)\\ldots", text):
        if not (block := re.search(r"(\d+?)\1+$", dots[2])) or len(block[0]) < 3:
            raise Unreadable(text)
        text = f"{dots[1]}{dots[2][: block.start()]}\\overline{{{block[1]}}}"
    return _Reader(text).read()


_PRIMES = (101, 131, 167, 211, 263, 331, 419, 523)


def are_equal(one: Any, other: Any) -> bool:
    """Tell whether two values are equal. Raises Unreadable if neither is proved."""
    if one == other:
        return True
    if one.has(_LOG_BASE) != other.has(_LOG_BASE):
        raise Unreadable("a logarithm without its base")
    difference = one - other
    if difference is sympy.nan or difference.has(sympy.nan, sympy.zoo):
        raise Unreadable("no number")
    if difference.is_Rational or difference.is_infinite:
        return bool(difference == 0)
    # Most pairs differ clearly. Their values at one unusual positive point show it in a hundredth of the time of `simplify`.
    point = {symbol: sympy.Rational(prime, 97) for symbol, prime in zip(sorted(difference.free_symbols, key=str), _PRIMES, strict=False)}
    value = sympy.N(difference.subs(point), 30)
    if value.is_number and abs(value) > sympy.Rational(1, 10**20):
        return False
    if sympy.expand(difference) == 0 or sympy.simplify(difference) == 0 or difference.equals(0):
        return True
    raise Unreadable("zero to 20 digits, and no proof")


def ratio(one: Any, other: Any) -> Any | None:
    """Return the constant that `one` is of `other`, or None if it is none. Raises Unreadable if that is not proved."""
    if one == 0 or other == 0:
        return None
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    points = [{symbol: sympy.Rational(prime, part) for symbol, prime in zip(symbols, _PRIMES, strict=False)} for part in (97, 89)]
    first, second = (sympy.N(one.subs(point) / other.subs(point), 30) for point in points)
    if not (first.is_number and second.is_number and first.is_finite and second.is_finite):
        raise Unreadable("no number")
    if abs(first - second) > sympy.Rational(1, 10**20) * (1 + abs(first)):
        return None
    exact = sympy.nsimplify(sympy.simplify(one / other))
    if exact.free_symbols:
        raise Unreadable("no proof")
    return exact
