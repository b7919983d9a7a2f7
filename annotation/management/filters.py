"""The filters of snapshots as options of a command."""

import argparse
from typing import Any

from django.core.management.base import CommandParser

from annotation.export import SnapshotFilter

SPLITS = {"train": ("train",), "test": ("test",), "all": ("train", "test")}


def add_filters(parser: CommandParser) -> "argparse._ArgumentGroup":
    """Add the options that say which labels a snapshot lists."""
    group = parser.add_argument_group("which labels (docs/datasets.md)")
    group.add_argument(
        "--split", choices=list(SPLITS), default="train", help="the split of the problems whose labels are listed (default: %(default)s)"
    )
    group.add_argument(
        "--generation", dest="generations", type=int, action="append", metavar="N", help="of a batch; repeatable, like those below"
    )
    group.add_argument(
        "--batch", dest="batches", type=int, action="append", metavar="KEY", help="the number in the address of the batch's page"
    )
    group.add_argument("--person", dest="people", action="append", metavar="PSEUDONYM", help="as exports show it in the field labeler")
    group.add_argument(
        "--finish-reason", dest="finish_reasons", action="append", metavar="REASON", help="how the labeler ended: solution .."
    )
    group.add_argument("--without", action="append", metavar="REASON", help="leave out labels that ended so, such as bad_problem")
    group.add_argument("--source", dest="sources", action="append", metavar="NAME", help="the generator that wrote the solution")
    group.add_argument(
        "--since", metavar="DATE", help="submitted on this day (UTC) or later; a moment such as 2026-11-26T14:00Z is possible too"
    )
    group.add_argument("--until", metavar="DATE", help="submitted before this day (UTC)")
    group.add_argument("--agreement", metavar="WHICH", help="agree: people agree on the first mistake; disagree: they differ")
    group.add_argument("--min-labels", type=int, metavar="N", help="at least N people judged the solution to its end")
    group.add_argument("--review", metavar="WHICH", help="reviewed: an adjudication settles the solution; not-reviewed: none does")
    group.add_argument(
        "--labels", metavar="WHICH", help="consensus: one label for each solution, the newest that says what the consensus says"
    )
    group.add_argument("--adjudications", metavar="WHICH", help="beside, instead or without (default: as the project's settings say)")
    group.add_argument("--with-quarantine", dest="quarantined", action="store_true", help="keep the labels of people in quarantine")
    group.add_argument("--without-newcomers", action="store_true", help="leave out the screening answers of people who are not admitted")
    return group


def chosen_filter(options: dict[str, Any]) -> SnapshotFilter:
    """Return the filter that these options describe. Raises BadFilter."""
    spec: dict[str, Any] = {"splits": SPLITS[options.get("split") or "train"], "newcomers": not options.get("without_newcomers")}
    for name in (
        "generations", "batches", "people", "finish_reasons", "without", "sources", "since", "until", "agreement", "min_labels", "review",
        "labels", "adjudications", "quarantined",
    ):  # fmt: skip
        if options.get(name):
            spec[name] = options[name]
        elif options.get(name) == 0 and name == "min_labels":
            spec[name] = 0
    return SnapshotFilter.from_spec(spec)
