"""The numbers of assignments and claims as browsers see them: no two of them can be compared.

An assignment that is made on demand, such as gold, has a higher number than those that were published with its batch, and its token
is always 1. So a labeler who saw these numbers could tell gold from other work. The pages show them under a keyed permutation instead.
"""

from functools import lru_cache
from hashlib import blake2b

from django.conf import settings
from django.utils.crypto import salted_hmac

HALF_BITS = 26
SHOWN = range(2 ** (2 * HALF_BITS))  # what a script of a browser still counts exactly
REAL = range(2**40)  # the other numbers of SHOWN stand for nothing, so an invented one is refused almost always
ROUNDS = 4  # a Feistel network of four rounds cannot be told from chance (Luby and Rackoff, 1988)


class NoSuchNumber(ValueError):
    """This site has shown no such number, or it showed it under a key that it no longer knows."""


def shown_number(number: int, *, place: int = 0) -> int:
    """Return what a browser sees for a number below 2^40. `place` is what the number belongs to: a token's assignment."""
    if number not in REAL:
        raise ValueError(f"{number} is not between 0 and 2^40 - 1.")
    left, right = number >> HALF_BITS, number & (1 << HALF_BITS) - 1
    key = _key(settings.SECRET_KEY)
    for turn in range(ROUNDS):
        left, right = right, left ^ _mixed(key, turn, place, right)
    return left << HALF_BITS | right


def real_number(shown: int, *, place: int = 0) -> int:
    """Return the number for what a browser sent. Numbers shown under a key in SECRET_KEY_FALLBACKS count too. Raises NoSuchNumber."""
    if shown in SHOWN:
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
            left, right = shown >> HALF_BITS, shown & (1 << HALF_BITS) - 1
            key = _key(secret)
            for turn in reversed(range(ROUNDS)):
                left, right = right ^ _mixed(key, turn, place, left), left
            if (number := left << HALF_BITS | right) in REAL:
                return number
    raise NoSuchNumber(f"There is no number {shown}.")


def _mixed(key: bytes, turn: int, place: int, half: int) -> int:
    digest = blake2b(b"%d,%d,%d" % (turn, place, half), key=key, digest_size=4).digest()
    return int.from_bytes(digest) >> 32 - HALF_BITS


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return salted_hmac("annotation.views.shown_numbers", "", secret=secret, algorithm="sha256").digest()
