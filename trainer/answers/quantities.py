"""Units and numbers in words, as answers have them. Pure, and without a computer algebra system."""

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit as a product of base dimensions: 5 km/h has {length: 1, time: -1}. `factor` turns a number into base units."""

    dimensions: tuple[tuple[str, int], ...]
    factor: Fraction


# Dimension and power, then "factor: names".
_TABLE = """
length 1 | 1/1000000000: nm nanometer nanometre | 1/1000000: um micrometer micrometre micron
length 1 | 1/1000: mm millimeter millimetre | 1/100: cm centimeter centimetre | 1/10: dm decimeter decimetre | 1: m meter metre
length 1 | 1000: km kilometer kilometre | 127/5000: in inch inches | 381/1250: ft foot feet | 1143/1250: yd yard | 201168/125: mi mile
length 2 | 10000: ha hectare | 316160658/78125: acre
length 3 | 1/1000000: ml mL milliliter millilitre cc | 1/100000: cl cL centiliter centilitre | 1/1000: l L liter litre
length 3 | 473176473/125000000000: gal gallon
quart 1 | 1: qt quart | 1/2: pt pint | 1/4: cup | 1/32: floz | 1/64: tbsp tablespoon | 1/192: tsp teaspoon
time 1 | 1/1000000: microsecond | 1/1000: ms millisecond | 1: s sec second | 60: min minute | 3600: h hr hour | 86400: day
time 1 | 604800: wk week | 1209600: fortnight
months 1 | 1: month mo | 12: yr year | 120: decade | 1200: century centuries
mass 1 | 1/1000000: ug mcg microgram | 1/1000: mg milligram | 1: g gm gram gramme | 1000: kg kilogram kilo kgs | 1000000: tonne
pound 1 | 1/16: oz ounce | 1: lb pound | 2000: ton
USD 1 | 1/100: cent penny pennies ¢ | 1: dollar usd USD buck | 1/4: quarter | 1/10: dime | 1/20: nickel
EUR 1 | 1: euro eur EUR €
GBP 1 | 1: £ gbp GBP | 1/100: pence
KRW 1 | 1: ₩ won
INR 1 | 1: rupee Rs rs INR ₹ | 1/100: paise
JPY 1 | 1: yen JPY ¥
CNY 1 | 1: yuan RMB CNY 元
CAD 1 | 1: CAD
AUD 1 | 1: AUD
angle 1 | 1: deg degree | 1/60: arcmin arcminute
radian 1 | 1: rad radian
celsius 1 | 1: degC
fahrenheit 1 | 1: degF
kelvin 1 | 1: K kelvin
percent 1 | 1: % | 1/10: ‰
unit 1 | 1: unit u
length 1 | 1/100: 厘米 см | 1: 米 м | 1000: 公里 千米 км
length 2 | 1: 平方米 | 1/10000: 平方厘米
length 3 | 1: 立方米 | 1/1000000: 立方厘米
time 1 | 1: 秒 | 60: 分钟 分鐘 минута минуты минут | 3600: 小时 小時 час часа часов | 86400: 天
months 1 | 12: 年
mass 1 | 1: 克 г | 1000: 公斤 千克 кг
RUB 1 | 1: руб рубль рубля рублей
piece 1 | 1: 个 個 人 只 本 次 种 種 шт
energy 1 | 1: J joule | 1000: kJ kilojoule | 3600000: kWh
calorie 1 | 1: cal calorie | 1000: kcal
power 1 | 1: W watt | 1000: kW kilowatt
force 1 | 1: N newton
pressure 1 | 1: Pa pascal | 1000: kPa
voltage 1 | 1: V volt
current 1 | 1/1000: mA | 1: A amp ampere
resistance 1 | 1: ohm | 1000: kohm kiloohm
frequency 1 | 1: Hz hertz | 1000: kHz | 1000000: MHz
amount 1 | 1: mol mole
data 1 | 1: byte | 1000: KB kilobyte | 1000000: MB megabyte | 1000000000: GB gigabyte
bit 1 | 1: bit
"""  # fmt: skip
_SPEEDS = {"mph": "mile/hour", "kph": "km/hour", "kmph": "km/hour", "kmh": "km/hour", "km/hr": "km/hour", "mpg": "mile/gallon"}
_UNITS: dict[str, tuple[str, int, Fraction]] = {}
for _line in _TABLE.strip().splitlines():
    _head, *_groups = _line.split(" | ")
    _dimension, _power = _head.split()
    for _group in _groups:
        _factor, _names = _group.split(": ")
        for _name in _names.split():
            _UNITS[_name] = (_dimension, int(_power), Fraction(_factor))
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}


def _lookup(name: str) -> tuple[str, int, Fraction] | None:
    for form in (name, name.lower()) if len(name) > 1 else (name,):
        for single in (form, form.removesuffix("s"), form.removesuffix("es"), form.removesuffix(".")):
            if single in _UNITS and (len(single) > 1 or single == form):
                return _UNITS[single]
    return None


_WORD = r"(?:[^\W\d_]+\.?|[%‰¢€£₹¥₩])"
_ONE = rf"{_WORD}(?:\^\{{?-?\d\}}?)?"
_UNIT_TEXT = re.compile(rf"{_ONE}(?:(?: ?[/*] ?| ?\\cdot ?| per (?:a |an )?| |-)(?:1 )?{_ONE})*")


def read_unit(text: str) -> Unit | None:
    """Read a whole text as a unit: `cm^2`, `square metres`, `km/h`, `miles per hour`, `%`. None if any part of it is not a unit."""
    text = re.sub(r"\\degree ?([CF])\b", r"deg\1", re.sub(r"(?i)\\?degrees? ?(celsius|fahrenheit|c|f)\b",
                  lambda scale: "deg" + scale[1][0].upper(), text)).replace(r"\degree", "deg").strip()  # fmt: skip
    text = re.sub(r" ?\\cdot ?", "*", re.sub(r"(?<=\w) an? (?=\w)", " per ", re.sub(r"(?i)\bfl\.? ?oz\b|\bfluid ounces?\b", "floz", text)))
    text = re.sub(r"\bkm/hr?\b", "km/hour", text)
    text = _SPEEDS.get(text.lower(), text)
    if not _UNIT_TEXT.fullmatch(text):
        return None
    dimensions: dict[str, int] = {}
    factor, sign, pending = Fraction(1), 1, 1
    found = False
    entry: tuple[str, int, Fraction] | None = None
    for part in re.finditer(rf"(?P<over>/| per (?:an? )?)|(?P<word>{_WORD})(?:\^\{{?(?P<power>-?\d)\}}?)?", text):
        if part["over"]:
            sign = -1
            continue
        word = part["word"].rstrip(".")
        if word.lower() in ("squared", "cubed") and entry:
            name, power, size = entry
            dimensions[name] += sign * power * (_POWERS[word.lower()] - 1)
            factor *= size ** (sign * (_POWERS[word.lower()] - 1))
            continue
        if word.lower() in ("square", "sq", "cubic", "cu"):
            pending = _POWERS[word.lower()]
            continue
        entry = _lookup(part["word"]) or _lookup(word)
        if entry is None:
            return None
        found = True
        name, power, size = entry
        exponent = pending * int(part["power"] or 1)
        dimensions[name] = dimensions.get(name, 0) + sign * power * exponent
        factor *= size ** (sign * exponent)
        pending = 1
    return Unit(tuple(sorted((name, power) for name, power in dimensions.items() if power)), factor) if found else None


def is_letter(unit: str) -> bool:
    """Tell whether a unit can also be a variable: one letter, or two that people write as a product."""
    return bool(re.match(r"(?:[A-Za-z]|in|mo)(?![A-Za-z])", unit))


# A month has 30 days and a year 52 weeks; money is counted in thousands and millions too.
_LOOSE = {
    ("months", 1): {Fraction(1, 30), Fraction(7, 30), Fraction(3, 13), Fraction(12, 365)},
    ("USD", 1): {Fraction(1_000), Fraction(1_000_000)},
}


def is_conversion(ratio: Fraction, unit: Unit) -> bool:
    """Tell whether a number without a unit can be the same quantity in another unit: 300 for 5 hours."""
    if len(unit.dimensions) != 1:
        return bool(unit.dimensions)  # a speed, say: too many to tell
    ((name, power),) = unit.dimensions
    if name == "percent":
        return ratio in (100, Fraction(1, 100))
    sizes = {factor ** abs(power // n) for dimension, n, factor in _UNITS.values() if dimension == name and power % n == 0}
    sizes |= _LOOSE.get((name, power), set())
    return any(ratio == one / other for one in sizes for other in sizes)


# --- numbers in words ------------------------------------------------------------------------------------------------------------

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
         "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
_SMALL = {word: number for number, word in enumerate(_ONES)}
_SMALL |= {"nil": 0, "nought": 0, "naught": 0}
_SMALL |= {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_TENS = {word for word, number in _SMALL.items() if number >= 20}
SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 1_000,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "billion": 10**9,
    "trillion": 10**12,
}
SHORT_SCALES = {"k": 1_000, "K": 1_000, "M": 10**6, "m": 10**6, "mn": 10**6, "B": 10**9, "b": 10**9, "bn": 10**9}  # of money: $5k
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
_ORDINALS |= {word.removesuffix("t") + "th": number for word, number in _SMALL.items() if word not in
              ("zero", "nil", "nought", "naught", "one", "two", "three", "five", "eight", "nine", "twelve")
              and not word.endswith("y")}  # fmt: skip
_ORDINALS |= {"eighth": 8}
_ORDINALS |= {word.removesuffix("y") + "ieth": number for word, number in _SMALL.items() if word.endswith("y")}
_ORDINALS |= {"hundredth": 100, "thousandth": 1000, "millionth": 10**6}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_PARTS |= {word: n for word, n in _ORDINALS.items() if n > 2} | {word + "s": n for word, n in _ORDINALS.items() if n > 2}


def read_words(text: str) -> Fraction | None:
    """Read a whole text as a number in words: `five`, `twenty-one`, `two thirds`, `two and a half`. None if it is no such number."""
    words = re.findall(r"[a-z]+", text.lower())
    if not words or not re.fullmatch(r"[A-Za-z][A-Za-z ,-]*", text):
        return None
    sign = 1
    if words[0] in ("minus", "negative"):
        sign, words = -1, words[1:]
    # "two thirds" and "one third" are parts, "twenty-third" and "third" are places.
    if (
        words
        and words[-1] in _PARTS
        and (words[-1] in ("half", "quarter") or len(words) > 1 and (words[-1].endswith("s") or words[0] not in _TENS))
    ):
        below, above = _PARTS[words[-1]], words[:-1]
        if "and" in above:  # two and a half
            place = len(above) - 1 - above[::-1].index("and")
            whole, count = _cardinal(above[:place]), _cardinal(above[place + 1 :], default=1)
            return None if whole is None or count is None or count >= below else sign * (whole + Fraction(count, below))
        count = _cardinal(above, default=1)
        return None if count is None else sign * Fraction(count, below)
    if "point" in words:
        place = words.index("point")
        whole, digits = _cardinal(words[:place], default=0), [_SMALL.get(word, 10) for word in words[place + 1 :]]
        if whole is None or not digits or max(digits) > 9:
            return None
        return sign * Fraction(f"{whole}.{''.join(map(str, digits))}")
    whole = _cardinal(words)
    return None if whole is None else Fraction(sign * whole)


def _cardinal(words: list[str], default: int | None = None) -> int | None:
    words = [word for word in words if word != "and"]
    if not words or words in (["a"], ["an"]):
        return default if not words or default is not None else None
    total, group, last = 0, 0, None
    for place, word in enumerate(words):
        if word in ("a", "an") and place == 0:
            group = 1
        elif word in _SMALL:
            value = _SMALL[word]
            if last == "small" and not (group % 100 >= 20 and group % 10 == 0 and 0 < value < 10):
                return None
            group, last = group + value, "small"
        elif word == "hundred":
            group, last = (group or 1) * 100, "hundred"
        elif word in SCALES:
            total, group, last = total + (group or 1) * SCALES[word], 0, "scale"
        else:
            return None
    return total + group


FRACTIONAL = frozenset(_PARTS) | frozenset(_ORDINALS) | frozenset(_SMALL)  # words that change a number next to them


def read_ordinal(text: str) -> int | None:
    """Read `5th`, `5^{th}`, `fifth`, `twenty-first`."""
    if digits := re.fullmatch(r"(\d+)(?:\^?\{?|\s)(?:st|nd|rd|th)\}?", text):
        return int(digits[1])
    words = re.findall(r"[a-z]+", text.lower())
    if not words or not re.fullmatch(r"[A-Za-z][A-Za-z -]*", text) or words[-1] not in _ORDINALS:
        return None
    before = _cardinal(words[:-1], default=0)
    return None if before is None else before + _ORDINALS[words[-1]]
