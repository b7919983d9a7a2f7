"""Labels in a file: the ratings along one path, up to the first mistake, become an annotation."""

import json
import math
from collections.abc import Sequence

import orjson

from trainer.formats.fields import read_whole
from trainer.formats.objects import Fields, Numeral
from trainer.formats.values import FINISHES, BadLine, Finish, NewAnnotation, NewLabel, in_words


def rate_path(fields: Fields, ratings: Sequence[int | None], flags: Sequence[bool | None]) -> NewAnnotation:
    """Return the annotation of a person who rated a path of steps from its beginning and stopped at the first mistake."""
    last = max((index for index, (rating, flag) in enumerate(zip(ratings, flags, strict=True)) if rating is not None or flag), default=-1)
    mistake = ratings.index(-1) if -1 in ratings else None
    if mistake is not None and mistake < last:
        raise BadLine(
            f"step {last + 1} is rated after the first mistake, which is step {mistake + 1}", "Remove the ratings after the first -1"
        )
    stated = fields.get("finish_reason")
    if stated in (None, "truncated"):  # six paths of the public file are cut off: their ratings count, but nobody saw the end
        finish: Finish = "found_error" if mistake is not None else "solution" if stated is None and None not in ratings else "give_up"
    else:
        finish = read_finish_reason(stated)
    if finish == "found_error" and mistake is None:
        raise BadLine("finish_reason is 'found_error', but no step is rated -1", "Rate the mistake -1, or leave finish_reason out")
    return NewAnnotation(
        labels=tuple(
            NewLabel(index, rating, flagged=flags[index], chosen=rating != -1 and (rating is not None or index < last), shown_at=0)
            for index, rating in enumerate(ratings[: last + 1])
        ),
        finish_reason=finish,
        reason="the solution was cut off" if finish == "give_up" and stated in (None, "truncated") else "",
        generation=read_whole(fields, "generation", 0, 32_767) or 0,
        canonical=canonical_bytes(fields),
    )


def read_finish_reason(stated: object) -> Finish:
    """Return why a sitting ended, as the file states it."""
    for finish in FINISHES:
        if stated == finish:
            return finish
    raise BadLine(f"finish_reason is {in_words(stated)}", f"It must be one of {', '.join(FINISHES)}")


def canonical_bytes(value: Fields | list[object]) -> bytes:
    """Return the same bytes for a line, or a list of what it says, whatever the order of its keys: they identify its annotation."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_plain)
    except orjson.JSONEncodeError:  # a lone surrogate, or a number of more than 64 bits: the check of its field reports it
        return json.dumps(value, sort_keys=True, default=_plain).encode()


def _plain(value: object) -> int | float | str:
    """Return a number as a Python value, so that a file has the same bytes as before numbers kept their digits."""
    if not isinstance(value, Numeral):
        return str(value)
    whole = value.text.lstrip("-").isdecimal()
    if len(value.text) > 300 or not math.isfinite(number := float(value.text)):
        return value.text
    return int(value.text) if whole else number
