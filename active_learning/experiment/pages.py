"""Part of the experiment: what its pages show. Reads plan.json and results.json, and roles from the database. Never imports the trainer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_learning.experiment import results, running, starting
from active_learning.experiment.plan import NAME, BadPlan
from active_learning.experiment.protocol import COSTS, FIGURES
from annotation import people
from annotation.models import Membership

if TYPE_CHECKING:
    from annotation.people import Person


class NoSuchExperiment(LookupError):
    """There is no experiment of this name here."""


def can_see(person: "Person") -> bool:
    """Return whether the person has experiments to see: researchers, managers and owners of a project, and superusers."""
    return _sees_all(person) or bool(_projects_of(person))


def find(name: str, *, home: Path, person: "Person") -> Path:
    """Return the folder of an experiment. Raises NoSuchExperiment, also for an experiment of a project that the person cannot read."""
    folder = home / "experiments" / name
    if not NAME.fullmatch(name) or not (folder / running.PLAN).is_file() or not _is_open_to(person, folder):
        raise NoSuchExperiment(f"There is no experiment {name}.")
    return folder


def all_experiments(home: Path, *, person: "Person") -> list[dict[str, Any]]:
    """List the experiments that a person sees with progress and results, newest first. A damaged one is listed with its error.

    `run` of each: how the worker stands to it; None for one of the command.
    """
    experiments = []
    for folder in (home / "experiments").glob("*"):
        if NAME.fullmatch(folder.name) and (folder / running.PLAN).is_file() and _is_open_to(person, folder):
            experiments.append({"name": folder.name, "begun": (folder / running.PLAN).stat().st_mtime, **_progress(folder)})
    runs = starting.states_of([row["name"] for row in experiments])
    return sorted(({**row, "run": runs.get(row["name"])} for row in experiments), key=lambda row: -row["begun"])


def describe(name: str, *, home: Path, person: "Person") -> dict[str, Any]:
    """Return what the page of one experiment shows. Raises NoSuchExperiment."""
    folder = find(name, home=home, person=person)
    run = starting.run_of(name)
    page: dict[str, Any] = {"name": name, "run": run, "is_unended": run is not None and run.state in starting.UNENDED, **_progress(folder)}
    if (outcome := page["results"]) is not None:
        plan, charts = outcome["plan"], results.draw_figures(outcome)
        titles = {key: title.format(n=plan["n_best"]) for key, title in results.TITLES.items()}
        drawn = [key for key in "abc" if key == "c" or len(outcome[key]) > 1]  # (a) and (b) with one line would compare nothing
        page["figures"] = [(key, titles[key], charts[key]) for key in drawn]
        page["settings"] = [(setting, value) for setting, value in plan.items() if setting != "strategies" and value is not None]
        page["last"] = outcome["labels"][-1]
        page["table"] = [_row(row, outcome) for row in outcome["table"]]
        page["shared"] = results.shared_lines(outcome)
        page["difference_words"] = results.DIFFERENCE_WORDS
        page["old"] = results.OLD if outcome["format"] == 1 else ""
        if not page["old"]:
            page["protocol"] = results.protocol_lines(outcome)
            page["primary"] = results.primary_lines(outcome)
            page["compared"] = _compared(outcome)
    return page


def _is_open_to(person: "Person", folder: Path) -> bool:
    if _sees_all(person):
        return True
    try:
        return int((folder / running.OWNER).read_text(encoding="utf-8")) in _projects_of(person)
    except (OSError, ValueError):
        return False  # it belongs to no project


def _sees_all(person: "Person") -> bool:
    return person.is_authenticated and person.is_active and getattr(person, "is_superuser", False)


def _projects_of(person: "Person") -> set[int]:
    return set(Membership.objects.filter(user=person.pk, role__in=people.RESEARCHERS).values_list("project", flat=True))


def _progress(folder: Path) -> dict[str, Any]:
    try:
        plan = running.read_plan(folder)
        starts, rest = running.all_points(plan)
        n_points = sum(running.point_path(folder, point).exists() for point in (*starts, *rest))
        outcome = results.read_results(folder) if (folder / running.RESULTS).is_file() else None
    except BadPlan as error:
        return {"failure": str(error), "results": None}
    return {
        "n_points": n_points,
        "n_all": len(starts) + len(rest),
        "n_seeds": len(plan.seeds),
        "results": outcome,
        "primary": _primary(outcome) if outcome else None,
        "failure": "",
    }


def _row(row: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table as the page writes it: its name, its differences in the primary figure, and the ratio."""
    shown: dict[str, Any] = {"label": results.arm_label(row["strategy"]), "differences": None, "ratio": ""}
    if outcome["format"] > 1 and row["differences"] is not None:
        primary = outcome["primary"]
        shown["differences"] = results.written(row["differences"][primary["figure"]][primary["cost"]])
        shown["ratio"] = results.ratio_words(row["efficiency"][primary["figure"]], n_seeds=len(outcome["plan"]["seeds"]))
    return row | shown


def _compared(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """List the differences of every strategy to random labels by figure and cost."""
    return [
        {"label": results.arm_label(row["strategy"]), "figure": FIGURES[figure], "cost": COSTS[cost]} | results.written(found)
        for row in outcome["table"]
        if row["differences"] is not None
        for figure, by_cost in row["differences"].items()
        for cost, found in by_cost.items()
    ]


def _primary(outcome: dict[str, Any]) -> dict[str, Any] | None:
    """Return the arm of the primary figure with its differences; None if there are none."""
    if outcome["format"] == 1:
        return None
    primary = outcome["primary"]
    row = next(row for row in outcome["table"] if row["strategy"] == primary["arm"])
    if row["differences"] is None:
        return None
    return {"label": results.arm_label(row["strategy"])} | results.written(row["differences"][primary["figure"]][primary["cost"]])
