"""The overview of a project for managers: queue, labels per day. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime

from annotation.models import Project
from annotation.quality.figures import figures_of


@dataclass(frozen=True)
class Overview:
    """The overview of a project."""

    queue: dict[str, int]
    days: list[tuple[date, int]]  # solutions labeled per day, oldest first, no gaps
    finished: dict[str, int]  # annotations by finish reason
    outcomes: dict[str, int]  # solutions by outcome of grading
    minutes_each: float | None
    wrong_labeled: int  # labeled solutions with a wrong final answer
    wrong_confirmed: int  # those of them where a mistake was found
    counted_at: datetime

    @property
    def labeled(self) -> int:
        """The number of labeled solutions."""
        return sum(self.finished.values())

    @property
    def solutions(self) -> int:
        """The number of loaded solutions."""
        return sum(self.outcomes.values())


def overview(project: Project) -> Overview:
    """Return the overview of a project."""
    figures, counted_at = figures_of(project)
    return Overview(
        queue=figures.queue,
        days=[(date.fromisoformat(day), count) for day, count in figures.days],
        finished=figures.finished,
        outcomes=figures.outcomes,
        minutes_each=None if figures.active_ms is None else figures.active_ms / 60_000,
        wrong_labeled=figures.wrong_labeled,
        wrong_confirmed=figures.wrong_confirmed,
        counted_at=counted_at,
    )
