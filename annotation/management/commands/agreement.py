"""Command: say how far the labelers of a project agree."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import ingest, quality
from annotation.agreement import Agreement, above_chance
from annotation.management.progress import drawn_progress
from trainer.counting import Share, counted


class Command(BaseCommand):
    requires_system_checks = ()  # they load all pages, and take longer than the start of the command
    help = (
        "Count how far the labelers of a project agree, and print the figures of the page Quality: Krippendorff's alpha for ordered "
        "ratings, which is optimistic, and exact agreement on the first mistake, each with its 95 % interval. The page shows these figures "
        "from then on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")

    def handle(self, *args: Any, project: str, **options: Any) -> None:
        with drawn_progress():
            target = ingest.find_project(project)
        if not quality.is_comparable(target):
            raise CommandError(
                f"{project} is an interactive project. Labelers take different paths there, so their verdicts cannot be compared.",
                returncode=2,
            )
        figures, _ = quality.count_agreement(target)
        if not figures.shared:
            self.stdout.write(f"No solution of {project} has labels of two people yet. Raise the overlap, or compose a calibration set.")
            return
        sample = "" if figures.sampled == figures.shared else f", counted on a sample of {figures.sampled:,}"
        self.stdout.write(f"{counted(figures.shared, 'solution')} with labels of at least two people{sample}")
        self._table("all", [("all of them", figures.total)])
        self.stdout.write("\nAgreement on the first mistake, explained")
        for words, share in figures.explained:
            self.stdout.write(f"{_percent(share):>8}  by chance, if only the {words} is known")
        by_length = figures.explained[0][1] if figures.explained else None
        beyond = above_chance(figures.total.exact.value, by_length)
        self.stdout.write(f"{_percent(figures.total.exact.value):>8}  in fact")
        self.stdout.write(f"{_percent(beyond):>8}  of what chance leaves open is agreed on")
        names = quality.batch_names(figures)
        self._table("batch", [(names.get(row.key, row.key), row.figures) for row in figures.batches])
        pairs = quality.named_pairs(target, figures, by_name=False)
        self._table("pair of people", [(f"{pair.first} and {pair.second}", pair.figures) for pair in pairs])
        self._table("time", [(row.key, row.figures) for row in figures.periods])
        for title, rows in (("level", figures.levels), ("subject", figures.subjects), ("score", figures.scores)):
            self._table(title, [(row.key, row.figures) for row in rows])
        if review := figures.review:
            self._table("review", [("before", review.before), ("after", review.after)])
            for words, figure in (("before", review.right_before), ("after", review.right_after)):
                self.stdout.write(f"{words}: {figure.as_share} of the labels name the first mistake of the adjudication")
        if figures.versions:
            self.stdout.write("\nversion of the guidelines: labels, mistake found, within gold, median minutes, exact agreement")
        for version in figures.versions:
            shares = f"{Share(*version.found).words}  {Share(*version.within).words}"
            minutes = version.minutes.as_number
            self.stdout.write(f"  {version.number}: {version.labels:,}  {shares}  {minutes}  {version.figures.exact.as_share}")

    def _table(self, title: str, rows: list[tuple[str, Agreement]]) -> None:
        if not rows:
            return
        width = max(len(title), *(len(name) for name, _ in rows))
        if title != "all":
            self.stdout.write("")
        self.stdout.write(f"{title:<{width}}  solutions  {'alpha':<22}  {'same first mistake':<20}  where one was marked")
        for name, figures in rows:
            alpha, exact, marked = figures.alpha.as_number, figures.exact.as_share, figures.on_mistakes.as_share
            self.stdout.write(f"{name:<{width}}  {figures.n:>9,}  {alpha:<22}  {exact:<20}  {marked}")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
