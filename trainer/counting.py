"""Numbers with their nouns, as sentences need them. The site and the trainer write them alike."""


def counted(count: int, noun: str, several: str | None = None) -> str:
    """Write a number with its noun: 1 problem, 2 problems. `several` is the plural with the words that follow, where it is not noun + s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
