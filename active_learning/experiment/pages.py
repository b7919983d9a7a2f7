"""What the pages of the experiments show. Reads plan.json and results.json, and roles from the database; never imports the trainer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_learning.experiment import results, running
from active_learning.experiment.plan import NAME, BadPlan
from annotation import people
from annotation.models import Membership

if TYPE_CHECKING:
    from annotation.people import Person


class NoSuchExperiment(LookupError):
    """There is no experiment of this name here."""


def may_see(person: "Person") -> bool:
    """Return whether the person is researcher, manager or owner in any project: an experiment belongs to no project."""
    return person.is_authenticated and Membership.objects.filter(user=person.pk, role__in=people.RESEARCHERS).exists()


def find(name: str, *, home: Path) -> Path:
    """Return the folder of an experiment. Raises NoSuchExperiment."""
    folder = home / "experiments" / name
    if not NAME.fullmatch(name) or not (folder / running.PLAN).is_file():
        raise NoSuchExperiment(f"There is no experiment {name}.")
    return folder


def listed(home: Path) -> list[dict[str, Any]]:
    """List the experiments, newest first, with their progress and results. A damaged one is listed with the reason."""
    rows = []
    for folder in (home / "experiments").glob("*"):
        if NAME.fullmatch(folder.name) and (folder / running.PLAN).is_file():
            rows.append({"name": folder.name, "begun": (folder / running.PLAN).stat().st_mtime, **_standing(folder)})
    return sorted(rows, key=lambda row: -row["begun"])


def page(name: str, *, home: Path) -> dict[str, Any]:
    """Return what the page of one experiment shows. Raises NoSuchExperiment."""
    folder = find(name, home=home)
    shown = {"name": name, **_standing(folder)}
    if (summary := shown["results"]) is not None:
        drawn, n = results.figures(summary), summary["plan"]["n_best"]
        compared = [key for key in "abc" if key == "c" or len(summary[key]) > 1]  # one line alone compares nothing
        shown["figures"] = [(key, results.TITLES[key].format(n=n), drawn[key]) for key in compared]
        shown["settings"] = [(name, value) for name, value in summary["plan"].items() if name != "strategies" and value is not None]
        shown["table"] = [row | {"label": results.arm_label(row["strategy"])} for row in summary["table"]]
        shown["last"] = summary["labels"][-1]
    return shown


def _standing(folder: Path) -> dict[str, Any]:
    try:
        plan = running.kept_plan(folder)
        n_points = sum(running.path_of(folder, point).exists() for points in running.points_of(plan) for point in points)
        summary = results.read(folder) if (folder / running.RESULTS).is_file() else None
    except BadPlan as error:
        return {"failure": str(error), "results": None}
    return {
        "n_points": n_points,
        "n_all": sum(map(len, running.points_of(plan))),
        "n_seeds": len(plan.seeds),
        "results": summary,
        "best": _best(summary) if summary else None,
        "failure": "",
    }


def _best(summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return the best strategy in words and its data efficiency; None if only random labels were measured."""
    row = next((row for row in summary["table"] if row["strategy"] == summary["best"]), None)
    return row and {"label": results.arm_label(row["strategy"]), "efficiency": row["efficiency"]}
