"""Part of the experiment: protocols. A protocol is a file that says, before the run, what is run and which figure is looked at first.

Files: protocols/NAME.json, with `why`, `primary` and `plan`. A run of the same plan keeps a copy as protocol.json in its folder, and its
results name the sha256. A run that has models already gets no protocol any more. If the file is changed later, or the run has other seeds,
sizes or strategies, the results say so.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from active_learning.experiment.plan import UNIFORM, BadPlan, Plan
from trainer.files import write_file

FOLDER, KEPT, POINTS = Path(__file__).parent / "protocols", "protocol.json", "points"
FIGURES = {"best_of_n": "best-of-N", "step_auc": "step AUC"}
COSTS = {"labels": "labeled solutions", "steps": "rated steps", "seconds": "seconds of labeling"}


@dataclass(frozen=True, slots=True)
class Primary:
    """What is looked at first: how much the slope and the area of `arm` exceed those of `against`, in this figure and over this cost."""

    arm: str
    against: str = UNIFORM
    figure: str = "best_of_n"
    cost: str = "labels"

    def __post_init__(self) -> None:
        for name, known in (("figure", FIGURES), ("cost", COSTS)):
            if getattr(self, name) not in known:
                raise BadPlan(f"{name} of primary must be one of {', '.join(known)}, not {getattr(self, name)!r}.")


@dataclass(frozen=True, slots=True)
class Protocol:
    """A plan with its primary figure, as a file of these bytes says."""

    name: str
    content: bytes
    plan: Plan
    primary: Primary
    why: str

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.content).hexdigest()


def read(path: Path) -> Protocol:
    """Read a protocol. Raises BadPlan if it is damaged, or if its plan and its primary figure do not fit each other."""
    try:
        content = path.read_bytes()
        values: dict[str, Any] = json.loads(content)
        protocol = Protocol(path.stem, content, Plan.from_settings(values["plan"]), Primary(**values["primary"]), values["why"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{path} is not a valid protocol ({error}). Take it from the release again.") from error
    if missing := {protocol.primary.arm, protocol.primary.against} - protocol.plan.strategies.keys():
        raise BadPlan(f"{path} names {sorted(missing)[0]} in primary, but its plan has no such arm. Add it to strategies.")
    if protocol.plan.shown != protocol.primary.arm:
        raise BadPlan(f"{path} names {protocol.primary.arm} in primary, but shown is {protocol.plan.shown}. Make them the same.")
    return protocol


def named(name: str) -> Protocol:
    """Return the protocol of this name. Raises BadPlan."""
    return read(FOLDER / f"{name}.json")


def keep(plan: Plan, folder: Path) -> None:
    """Copy the protocol of a plan into the folder of its run, if there is one and the run has none yet.

    Raises BadPlan if the run has trained models already: a protocol comes before them.
    """
    if (folder / KEPT).exists():
        return
    for path in sorted(FOLDER.glob("*.json")):
        protocol = read(path)
        if protocol.plan.fingerprint == plan.fingerprint:
            if n_models := len(list((folder / POINTS).glob("*.json"))):
                raise BadPlan(
                    f"The protocol {protocol.name} fixes this plan, but the experiment {folder.name} had {n_models} models before it had a "
                    f"protocol. A protocol comes before the run. Choose another name, and all models are trained again."
                )
            with write_file(folder / KEPT, overwrite=True) as file:
                file.write(json.dumps({"name": protocol.name, "content": protocol.content.decode()}).encode())
            return


def kept(folder: Path) -> Protocol | None:
    """Return the protocol with which a run began. None: it has none. Raises BadPlan if the copy is damaged."""
    if not (folder / KEPT).exists():
        return None
    try:
        copy = json.loads((folder / KEPT).read_text(encoding="utf-8"))
        name, content = str(copy["name"]), str(copy["content"]).encode()
        values = json.loads(content)
        return Protocol(name, content, Plan.from_settings(values["plan"]), Primary(**values["primary"]), values["why"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{folder / KEPT} is damaged ({error}). Remove the folder and start again.") from error


def describe(plan: Plan, folder: Path) -> dict[str, Any] | None:
    """Return what results say of the protocol: name, sha256, primary figure, and in `notes` every way in which the run is another one."""
    protocol = kept(folder)
    if protocol is None:
        return None
    notes = []
    try:
        now = named(protocol.name).sha256
        if now != protocol.sha256:
            notes.append(f"The file was changed after this run began. It has the SHA-256 {now} now, and these figures are not of it.")
    except BadPlan:
        notes.append("The file was removed or damaged after this run began.")
    mine, theirs = plan.as_dict(), protocol.plan.as_dict()
    if others := [field.name for field in fields(Plan) if mine[field.name] != theirs[field.name]]:
        notes.append(f"This run is not the one of the protocol: it has other {', '.join(others)}.")
    primary = {field.name: getattr(protocol.primary, field.name) for field in fields(Primary)}
    return {"name": protocol.name, "sha256": protocol.sha256, "why": protocol.why, "primary": primary, "notes": notes}
