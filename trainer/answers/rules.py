"""What a project counts as the same answer. Pure."""

from typing import NamedTuple


class Rules(NamedTuple):
    """Equal values that not every project accepts. Without its rule, such a pair is `unsure`."""

    unreduced: bool = False  # 2/4 for 1/2
    percent: bool = False  # 10% for 0.1


NO_RULES = Rules()
