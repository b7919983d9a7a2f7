"""Stage: ingest, notes. What of a load is not stored, because another line or the project has another value of the same problem."""

from collections.abc import Callable, Iterator
from typing import Any

from annotation.ingest import statements as sql
from trainer.counting import counted
from trainer.formats import in_words, place_in_words


def what_differs(cursor: Any, placed: Callable[[int], int]) -> Iterator[str]:
    """Yield a sentence about reference answers, and one about ids, that are not stored. The problems of the load are resolved.

    `placed` says what a number is in the file: a line, a row or an object.
    """
    cursor.execute(sql.ANSWERS_THAT_DIFFER)
    if differing := cursor.fetchall():
        first, other = (place_in_words(placed(number)) for number in differing[0])
        words = counted(len(differing), "problem has", "problems have")
        yield f"{words} several reference answers here, such as in {first} and {other}. The first one counts."
    cursor.execute(sql.IDS_THAT_DIFFER)
    if dropped := cursor.fetchone():
        count, number, given, kept = dropped
        words = counted(count, "id is", "ids are")
        yield (
            f"{words} not stored, because the statement is a problem with another id already: "
            f"{in_words(given)} ({place_in_words(placed(number))}) is {in_words(kept)}."
        )
