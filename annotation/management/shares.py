"""The parts of a data set as options of a command."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotation.export import SplitRule


def add_shares(parser: CommandParser) -> None:
    """Add the options that divide a data set by its problems."""
    parser.add_argument(
        "--shares",
        metavar="TRAIN,VALID,TEST",
        help="divide by problems into training, validation and test, such as 0.9,0.05,0.05: a file for each",
    )
    parser.add_argument("--seed", type=int, default=0, help="of --shares: the same seed puts a problem into the same part (default: 0)")


def chosen_rule(options: dict[str, Any]) -> SplitRule | None:
    """Return the rule that these options describe, or None. Raises BadSplitRule."""
    shares = options.get("shares")
    if shares is None:
        return None
    try:
        train, valid, test = (float(share) for share in shares.split(","))
    except ValueError:
        raise CommandError(f"--shares {shares}: write three numbers with commas, such as 0.9,0.05,0.05.", returncode=2) from None
    return SplitRule(train=train, valid=valid, test=test, seed=options.get("seed") or 0)
