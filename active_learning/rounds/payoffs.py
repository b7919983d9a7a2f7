"""Whether choosing pays in a project: solutions that its rounds chose beside solutions that the same rounds drew at random.

Reads the labels of a version and the selections of the rounds before it; gives plain values, which the round that trained the version
keeps. Imports the trainer inside functions.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from active_learning import registry
from active_learning.models import ModelVersion, Round, Selection
from active_learning.rounds.states import RunLost
from active_learning.selection import CONTROL, UNIFORM
from annotation.models import Project
from trainer.config import TINY, TINY_DEFAULTS, TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownPayoff:
    """What the newest round that compared found out: its number, and for each strategy what `measure` gave."""

    round_number: int
    parts: Mapping[str, Mapping[str, Any]]


def newest_payoff(project: Project) -> KnownPayoff | None:
    """Return what the newest round of a project found out about chosen labels and labels at random, if one could compare."""
    rows = Round.objects.filter(project=project, findings__has_key="payoff").order_by("-pk").values_list("number", "findings__payoff")
    found = rows.first()
    return KnownPayoff(*found) if found else None


def measure(version: ModelVersion, *, progress: registry.ProgressCallback) -> tuple[dict[str, Any], str]:
    """Compare solutions that rounds chose with solutions that they drew at random, by strategy; empty if no round has labels of both.

    Takes seconds, and once the forward of the base over labels that no frozen version has read. The second value says in a sentence why
    there is no comparison although there could be one: nothing that goes wrong here is worth a round. Raises RunLost.
    """
    try:
        return _measured(version, progress=progress), ""
    except RunLost:
        raise
    except Exception as error:
        log.exception("%s: chosen labels and labels at random were not compared.", version)
        return {}, f"Labels that were chosen and labels at random were not compared: {str(error) or type(error).__name__}"


def _measured(version: ModelVersion, *, progress: registry.ProgressCallback) -> dict[str, Any]:
    origin = _origins(version.project)
    compared = {number for number, part in origin.values() if number is not None and part == UNIFORM.name}
    if not any(part != UNIFORM.name and number in compared for number, part in origin.values()):
        return {}
    from trainer.payoff import Addition, payoffs, spent

    _, apart = registry.problems_of(version)
    start: list[Any] = []
    held_out: list[Any] = []
    sides: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for labeled in registry.learned_from(version):
        if not labeled.n_rated:  # type: ignore[union-attr]  # a PRM learns from rated steps
            continue
        number, part = origin.get(int(labeled.solution.key), (None, None))  # neither: loaded, gold or a calibration set
        if labeled.solution.problem_key in apart:
            if part == UNIFORM.name:
                held_out.append(labeled)
        elif number in compared:
            assert part is not None
            sides[number][part].append(labeled)
        elif part in (UNIFORM.name, None):
            start.append(labeled)  # of both sides, so it need not be drawn at random
    names = sorted({part for own in sides.values() for part in own if part != UNIFORM.name})
    additions = {name: [Addition(own[name], own[UNIFORM.name]) for _, own in sorted(sides.items()) if name in own] for name in names}
    if not additions:
        return {}
    n_strategies = max(1, len(additions.keys() - {CONTROL.name}))  # the control is no choice for people
    found = payoffs(
        start,
        additions,
        held_out,
        config=_config(version),
        states=registry.states_folder(),
        error=spent(_n_looks(version.project) + 1, n_strategies=n_strategies),
        progress=registry.trainer_progress(progress, stage="chosen and random labels"),
    )
    return {name: own.as_dict() for name, own in found.items()}


def _n_looks(project: Project) -> int:
    """Return how many rounds of a project could decide so far, whatever they found."""
    known = Round.objects.filter(project=project, findings__has_key="payoff").values_list("findings__payoff", flat=True)
    return sum(any(own.get("decides") for own in parts.values()) for parts in known)


def _origins(project: Project) -> dict[int, tuple[int | None, str]]:
    """Return for each solution that a published round chose the number of the round and the strategy. A solution is queued once.

    Rounds that drew all at random have nothing to compare: they have no number.
    """
    rows = Selection.objects.filter(round__project=project, round__batch__isnull=False, is_dropped=False)
    listed = list(rows.values_list("solution_id", F("round__number"), "part", F("round__strategy")))
    chosen = {number for _, number, part, strategy in listed if (part or strategy) != UNIFORM.name}
    return {solution: (number if number in chosen else None, part or strategy) for solution, number, part, strategy in listed}


def _config(version: ModelVersion) -> TrainConfig:
    """Return the settings of heads on the version's base: those of the version where it is frozen itself, so its states are there."""
    config = version.config
    if config.get("frozen"):
        same = {name: config[name] for name in ("frozen_layers", "context", "revision", "seed") if name in config}
        return TrainConfig.from_settings({"base": version.base, "frozen": True} | same)
    if version.base == TINY:
        return TrainConfig(base=TINY, frozen=True, context=TINY_DEFAULTS["context"])  # the shipped base, whatever shape was trained
    same = {name: config[name] for name in ("context", "revision") if name in config}
    return TrainConfig.for_base(version.base, frozen=True, **same)
