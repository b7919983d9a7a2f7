"""Command: turn the loop once, in the foreground."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import rounds
from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = (
        "Turn the loop once: train a reward model on all labels, score all solutions with it, and publish the most convincing wrong "
        "answers as the next batch. With --strategy uniform: publish a batch drawn at random, without a model."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--base", metavar="BASE", help="tiny, a model folder or a hub id (default: the project's)")
        parser.add_argument("--strategy", choices=list(rounds.STRATEGIES), default=rounds.CONVINCING)
        parser.add_argument("--size", type=int, metavar="N", help="solutions in the next batch (default: the project's); 0: none")
        limit = parser.add_mutually_exclusive_group()
        limit.add_argument("--per-problem", type=int, metavar="K", help="at most K solutions of one problem (default: the project's)")
        limit.add_argument("--globally", action="store_true", help="the best of all problems together, however many of one problem")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, project: str, base: str | None, strategy: str, size: int | None, per_problem: int | None, globally: bool,
               seed: int, **options: Any) -> None:  # fmt: skip
        try:
            started = rounds.start(ingest.find_project(project), strategy=strategy, size=size, per_problem=per_problem, globally=globally,
                                   base=base, seed=seed, ring=False)  # fmt: skip
        except (rounds.RoundRefused, ingest.BadProject) as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with drawn_progress() as progress:
            ended = rounds.run(started.pk, report=lambda stage, done, total, _: progress(stage, done, total))
        if ended.failure:
            raise CommandError(ended.failure, returncode=2)
        for line in rounds.describe(ended):
            self.stdout.write(line)
