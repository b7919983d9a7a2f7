"""Command: run one round, in the foreground."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from active_learning import registry, rounds
from active_learning.models import Labels, ModelKind
from active_learning.selection import CONVINCING, MIXES, STRATEGIES
from annotation import ingest
from annotation.management.progress import drawn_progress


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Run one round: train a reward model on all labels, let it serve unless it is worse than the serving one, score all solutions with "
        "the serving model, and publish the most convincing wrong answers. With --strategy uniform: publish a batch drawn "
        "at random, without a model. With --kind orm: train an outcome reward model on the graded solutions, and publish nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--kind", choices=["prm", "orm"], default="prm", help="process or outcome reward model")
        parser.add_argument(
            "--preset",
            choices=list(registry.PRESETS),
            help="tiny; quick: a smaller one, to try the loop; lora: adapters; frozen: heads on the states of a base; full: all weights",
        )
        parser.add_argument("--base", metavar="BASE", help="tiny, smollm2, a model folder or a hub id (default: the project's)")
        parser.add_argument(
            "--labels",
            choices=Labels.values,
            default=Labels.EACH,
            help="what it learns where several people labeled a solution: each person's labels (default), their consensus, or soft: the "
            "probabilities of the consensus",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--resume", action="store_true", help="continue the newest training that broke off, with its labels and config")
        what.add_argument("--dry-run", action="store_true", help="show what a model would be trained on, and change nothing")
        what.add_argument("--without-training", action="store_true", help="choose with the serving model")
        names = ", ".join([*STRATEGIES, *MIXES])
        parser.add_argument("--strategy", default=CONVINCING.name, help=f"one of {names}; or a mix such as convincing:0.7,uniform:0.3")
        parser.add_argument("--size", type=int, metavar="N", help="solutions in the next batch (default: the project's); 0: no batch")
        limit = parser.add_mutually_exclusive_group()
        limit.add_argument("--per-problem", type=int, metavar="K", help="at most K solutions per problem (default: the project's)")
        limit.add_argument("--globally", action="store_true", help="no limit per problem: the best solutions of all problems together")
        parser.add_argument("--diverse", action="store_true", help="no two solutions with the same steps up to the first doubtful one")
        parser.add_argument("--stratified", action="store_true", help="subjects and levels in the same shares as among all candidates")
        parser.add_argument("--review", action="store_true", help="propose the batch: a manager reviews and publishes it")
        parser.add_argument("--seed", type=int, default=0)

    def handle(
        self,
        *args: Any,
        project: str,
        kind: str,
        preset: str | None,
        base: str | None,
        labels: str,
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
            labeled = ingest.find_project(project)
            recipe = None
            if not dry_run and (kind == ModelKind.PRM or size or strategy != CONVINCING.name):
                recipe = rounds.recipe_for(
                    labeled,
                    strategy=strategy,
                    size=size,
                    per_problem=per_problem,
                    globally=globally,
                    is_diverse=diverse,
                    is_stratified=stratified,
                )
            if recipe and recipe.size and (lacks := recipe.without_floor):
                self.stderr.write(lacks)
            plan = rounds.RoundPlan(
                recipe,
                train=False if without_training else None,
                review=review and not dry_run,
                kind=kind,
                preset=preset,
                base=base,
                seed=seed,
                resume=resume,
                labels=labels,
            )
            if dry_run:
                for line in rounds.preview(labeled, plan):
                    self.stdout.write(line)
                return
            if plan.train and not resume and kind == ModelKind.PRM and (warning := registry.nothing_new(labeled, labels=labels)):
                self.stderr.write(warning)
            started = rounds.start(labeled, plan, notify=False)
        except (rounds.RoundRefused, ingest.BadProject) as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with drawn_progress() as progress:
            try:
                ended = rounds.run(started.pk, progress=progress)
            except KeyboardInterrupt:
                how = "Start it again with the same command."
                if version := registry.resumable(labeled, kind=kind):
                    more = "" if kind == ModelKind.PRM else f" --kind {kind}"
                    how = f"`manage.py retrain --project {project}{more} --resume` continues the training of model {version.number}."
                raise CommandError(f"Stopped. Round {started.number} is cancelled. {how}", returncode=130) from None
            except rounds.Stopped:
                raise CommandError(
                    f"Stopped. Round {started.number} is not cancelled: a worker goes on with it. `script/server` starts one.",
                    returncode=143,
                ) from None
        if ended.failure:
            raise CommandError(ended.failure, returncode=2)
        for line in rounds.describe(ended):
            self.stdout.write(line)
