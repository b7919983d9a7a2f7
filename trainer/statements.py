"""When two statements are the same problem: when they differ only in white space.

Pure. The site has the same rule as a function of its database (`stepmark_statement_key`); a test compares the two.
"""

import re

# What Unicode calls white space, and three characters without a width that copies gain and lose: U+200B, U+2060, U+FEFF.
BLANKS = "\\u0009-\\u000d\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u180e\\u2000-\\u200b\\u2028\\u2029\\u202f\\u205f\\u2060\\u3000\\ufeff"
DIGITS = "0-9\\u0660-\\u0669\\u06f0-\\u06f9\\u0966-\\u096f\\u09e6-\\u09ef\\uff10-\\uff19"
_BETWEEN_DIGITS, _BLANKS = re.compile(f"([{DIGITS}])[{BLANKS}]+(?=[{DIGITS}])"), re.compile(f"[{BLANKS}]+")


def without_blanks(statement: str) -> str:
    """Return a statement without its white space: equal texts are the same problem.

    Between two digits one mark stays, because 1 2/3 and 12/3 are different numbers.
    """
    return _BLANKS.sub("", _BETWEEN_DIGITS.sub("\\1\x01", statement))
