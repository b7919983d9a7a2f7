"""Command: turn the loop once, in the foreground."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import registry, rounds
from active_learning.selection import CONVINCING, MIXES, STRATEGIES
from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    help = (
        "Turn the loop once: train a reward model on all labels, put it into service unless it is worse than the one that serves, score "
        "all solutions with that one, and publish the most convincing wrong answers as the next batch. With --strategy uniform: publish "
        "a batch drawn at random, without a model. With --kind orm: train an outcome reward model on the graded solutions, publish nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--kind", choices=["prm", "orm"], default="prm", help="process or outcome reward model")
        parser.add_argument("--preset", choices=list(registry.PRESETS), help="tiny, LoRA adapters or all weights of a pretrained base")
        parser.add_argument("--base", metavar="BASE", help="tiny, a model folder or a hub id (default: the project's)")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--resume", action="store_true", help="go on with the newest training that broke off, on its labels and recipe")
        what.add_argument("--dry-run", action="store_true", help="say what would be trained on; change nothing")
        what.add_argument("--without-training", action="store_true", help="choose with the model in service")
        names = ", ".join([*STRATEGIES, *MIXES])
        parser.add_argument("--strategy", default=CONVINCING.name, help=f"one of {names}; or a mix such as convincing:0.7,uniform:0.3")
        parser.add_argument("--size", type=int, metavar="N", help="solutions in the next batch (default: the project's); 0: none")
        limit = parser.add_mutually_exclusive_group()
        limit.add_argument("--per-problem", type=int, metavar="K", help="at most K solutions of one problem (default: the project's)")
        limit.add_argument("--globally", action="store_true", help="the best of all problems together, however many of one problem")
        parser.add_argument("--diverse", action="store_true", help="no two solutions that share their steps up to the first doubtful one")
        parser.add_argument("--stratified", action="store_true", help="as many of each subject and level as there are in the pool")
        parser.add_argument("--review", action="store_true", help="propose the batch: a manager looks it through and publishes it")
        parser.add_argument("--seed", type=int, default=0)

    def handle(
        self,
        *args: Any,
        project: str,
        kind: str,
        preset: str | None,
        base: str | None,
        resume: bool,
        dry_run: bool,
        without_training: bool,
        strategy: str,
        size: int | None,
        per_problem: int | None,
        globally: bool,
        diverse: bool,
        stratified: bool,
        review: bool,
        seed: int,
        **options: Any,
    ) -> None:
        try:
            found = ingest.find_project(project)
            model = {"kind": kind, "preset": preset, "base": base, "seed": seed}
            if dry_run:
                for line in rounds.preview(found, rounds.RoundPlan(**model)):
                    self.stdout.write(line)
                return
            limits = {"per_problem": per_problem, "globally": globally, "is_diverse": diverse, "is_stratified": stratified}
            chooses = kind == "prm" or size or strategy != CONVINCING.name
            recipe = rounds.recipe_for(found, strategy=strategy, size=size, **limits) if chooses else None
            plan = rounds.RoundPlan(recipe, train=False if without_training else None, review=review, resume=resume, **model)
            started = rounds.start(found, plan, ring=False)
        except (rounds.RoundRefused, ingest.BadProject) as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with drawn_progress() as progress:
            ended = rounds.run(started.pk, progress=progress)
        if ended.failure:
            raise CommandError(ended.failure, returncode=2)
        for line in rounds.describe(ended):
            self.stdout.write(line)
