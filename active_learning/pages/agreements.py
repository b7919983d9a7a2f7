"""How far the people of a project agree: the figures that a worker counted, as lines of tables, charts and files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.urls import reverse

from active_learning import charts
from active_learning.charts import Chart, Point
from annotation import quality
from annotation.agreement import Agreement, Measured, above_chance
from annotation.models import Project
from trainer.counting import Share

FILES = ("over-time", "batches", "people", "level", "subject", "score", "review", "guidelines")


SHOWN = 10  # lines of a table that are not folded


class NoSuchChart(LookupError):
    """The page of agreement has no chart or table of this name."""


@dataclass(frozen=True)
class AgreementLine:
    """One line of a table of agreement."""

    name: str
    figures: Agreement
    url: str = ""


@dataclass(frozen=True)
class AgreementTable:
    """A table of agreement, and the name of its file."""

    title: str
    name: str
    part: str  # what its lines are, as the head of their column
    lines: list[AgreementLine]

    @property
    def first(self) -> list[AgreementLine]:
        """The lines that the page shows at once: a hundred pairs of people would hide what comes after them."""
        return self.lines[:SHOWN] if len(self.lines) > SHOWN + 2 else self.lines

    @property
    def rest(self) -> list[AgreementLine]:
        """The lines that the page folds."""
        return self.lines[len(self.first) :]


@dataclass(frozen=True)
class Explained:
    """What would agree if only this were known of a solution."""

    words: str
    share: str
    beyond: str  # how much of what this leaves open is agreed on


@dataclass(frozen=True)
class VersionLine:
    """The labels under one version of the guidelines."""

    number: int
    labels: int
    exact: Measured
    within: Share
    found: Share
    minutes: Measured


@dataclass(frozen=True)
class AgreementPage:
    """What the page of agreement shows. Without figures, a worker has to count first."""

    figures: quality.AgreementFigures | None
    counted_at: datetime | None
    is_comparable: bool
    explained: list[Explained]
    tables: list[AgreementTable]
    over_time: Chart | None
    versions: list[VersionLine]
    effect: Chart | None
    minutes: Chart | None


def agreement_page(project: Project, *, by_name: bool) -> AgreementPage:
    """Return what the page of agreement shows. `by_name`: people by name; otherwise by pseudonym."""
    figures, counted_at = quality.agreement_of(project)
    shown = figures or quality.AgreementFigures()
    exact = shown.total.exact.value
    tables = [
        AgreementTable("By batch", "batches", "batch", _batches(project, shown)),
        AgreementTable("By pair of people", "people", "people", _people(project, shown, by_name=by_name)),
        *(AgreementTable(f"By {words}", name, part, _lines(rows)) for name, words, part, rows in _difficulties(shown)),
        AgreementTable("Before and after review", "review", "labels", _review(shown)),
    ]
    return AgreementPage(
        figures=figures,
        counted_at=counted_at,
        is_comparable=quality.is_comparable(project),
        explained=[Explained(words, _percent(share), _percent(above_chance(exact, share))) for words, share in shown.explained],
        tables=[table for table in tables if table.lines],
        over_time=_over_time(shown),
        versions=_versions(shown),
        effect=_effect(shown.versions),
        minutes=_minutes(shown.versions),
    )


def agreement_file(project: Project, name: str, *, by_name: bool) -> list[list[str]]:
    """Return the lines of one table or chart of the page of agreement, the header first. Raises NoSuchChart."""
    if name not in FILES:
        raise NoSuchChart(f"The page of agreement has no figures called {name}.")
    shown = quality.agreement_of(project)[0] or quality.AgreementFigures()
    if name == "guidelines":
        return _versions_file(_versions(shown))
    if name == "over-time":
        lines, part = [AgreementLine(row.key, row.figures) for row in shown.periods], "from"
    elif name == "batches":
        lines, part = _batches(project, shown), "batch"
    elif name == "people":
        lines, part = _people(project, shown, by_name=by_name), "people"
    elif name == "review":
        lines, part = _review(shown), "labels"
    else:
        lines, part = next((_lines(rows), part) for key, _, part, rows in _difficulties(shown) if key == name)
    figures = [f"{key}{end}" for key in ("alpha", "same_first_mistake", "same_where_marked") for end in ("", "_low", "_high")]
    rows = [
        [line.name, str(line.figures.n), str(line.figures.pairs), *(cell for each in _three(line.figures) for cell in _cells(each))]
        for line in lines
    ]
    return [[part, "solutions", "pairs", *figures], *rows]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _three(figures: Agreement) -> tuple[Measured, Measured, Measured]:
    return figures.alpha, figures.exact, figures.on_mistakes


def _cells(figure: Measured) -> list[str]:
    low, high = figure.interval or (None, None)
    return ["" if value is None else f"{value:.4f}" for value in (figure.value, low, high)]


def _lines(rows: Sequence[quality.AgreementRow]) -> list[AgreementLine]:
    return [AgreementLine(row.key, row.figures) for row in rows]


def _batches(project: Project, shown: quality.AgreementFigures) -> list[AgreementLine]:
    names = quality.batch_names(shown)
    places = {key: reverse("batch", kwargs={"slug": project.slug, "batch_id": int(key)}) for key in names}
    return [AgreementLine(names[row.key], row.figures, places[row.key]) for row in shown.batches if row.key in names]


def _people(project: Project, shown: quality.AgreementFigures, *, by_name: bool) -> list[AgreementLine]:
    pairs = quality.named_pairs(project, shown, by_name=by_name)
    return [AgreementLine(f"{pair.first} and {pair.second}", pair.figures) for pair in pairs]


def _difficulties(shown: quality.AgreementFigures) -> list[tuple[str, str, str, list[quality.AgreementRow]]]:
    return [
        ("level", "level of the problem", "level", shown.levels),
        ("subject", "subject of the problem", "subject", shown.subjects),
        ("score", "score by which a round chose the solution", "score", shown.scores),
    ]


def _review(shown: quality.AgreementFigures) -> list[AgreementLine]:
    review = shown.review
    return [AgreementLine("as first submitted", review.before), AgreementLine("as they are now", review.after)] if review else []


def _over_time(shown: quality.AgreementFigures) -> Chart | None:
    """Draw agreement by week or month. None with fewer than two of them: one point is no course."""
    if len(shown.periods) < 2:
        return None

    def line(figure_of: str) -> list[Point]:
        return [_point(date.fromisoformat(row.key).toordinal(), getattr(row.figures, figure_of)) for row in shown.periods]

    named = [("same first mistake", line("exact")), ("same, where somebody marked one", line("on_mistakes")), ("alpha", line("alpha"))]
    return charts.line_chart(
        named, x_words="from (UTC)", y_words="agreement", name_of=lambda place: date.fromordinal(int(place)).isoformat()
    )


def _point(place: float, figure: Measured) -> Point:
    low, high = figure.interval or (None, None)
    return Point(place, figure.value, low, high)


def _share(place: float, share: Share) -> Point:
    low, high = share.bounds or (None, None)
    return Point(place, share.k / share.n if share.n else None, low, high)


def _versions(shown: quality.AgreementFigures) -> list[VersionLine]:
    return [
        VersionLine(row.number, row.labels, row.figures.exact, Share(*row.within), Share(*row.found), row.minutes) for row in shown.versions
    ]


def _effect(versions: Sequence[quality.VersionEffect]) -> Chart | None:
    """Draw the shares under each version of the guidelines. None with fewer than two versions: nothing has changed."""
    if len(versions) < 2:
        return None
    named = [
        ("same first mistake", [_point(row.number, row.figures.exact) for row in versions]),
        ("within gold", [_share(row.number, Share(*row.within)) for row in versions]),
        ("a mistake found", [_share(row.number, Share(*row.found)) for row in versions]),
    ]
    return charts.line_chart(named, x_words="version of the guidelines", y_words="share", y_range=(0, 1), name_of=_version)


def _minutes(versions: Sequence[quality.VersionEffect]) -> Chart | None:
    if len(versions) < 2:
        return None
    named = [("median, with its interval", [_point(row.number, row.minutes) for row in versions])]
    return charts.line_chart(named, x_words="version of the guidelines", y_words="minutes for a solution", name_of=_version)


def _version(place: float) -> str:
    return str(int(place)) if place == int(place) else ""


def _versions_file(lines: Sequence[VersionLine]) -> list[list[str]]:
    names = ("same_first_mistake", "within_gold", "mistake_found", "minutes")
    header = ["version", "labels", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    rows = []
    for line in lines:
        shares = [Measured(share.k / share.n, share.bounds, share.n) if share.n else Measured() for share in (line.within, line.found)]
        figures = (line.exact, *shares, line.minutes)
        rows.append([str(line.number), str(line.labels), *(cell for figure in figures for cell in _cells(figure))])
    return [header, *rows]
