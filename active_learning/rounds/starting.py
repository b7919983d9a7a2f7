"""Rounds begin: by hand, by a command or by a schedule; they are cancelled, and rung for again when nobody runs them."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import Max
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry, sampling
from active_learning.models import ATTEMPTS, UNFINISHED, ModelKind, Round, RoundState
from active_learning.rounds.states import RUNNABLE, RoundRefused, end, stale
from active_learning.selection import MIXES, BadRecipe, Recipe
from annotation import queue
from annotation.models import Batch, BatchKind, Project
from trainer.config import BadBase, BadConfig, TrainConfig

log = logging.getLogger(__name__)

CONVINCING, UNIFORM = "convincing", "uniform"


def recipe_for(
    project: Project,
    *,
    strategy: str = CONVINCING,
    size: int | None = None,
    per_problem: int | None = None,
    globally: bool = False,
    is_diverse: bool = False,
    is_stratified: bool = False,
) -> Recipe:
    """Return what a batch is chosen by: a strategy, one of MIXES, or parts such as "convincing:0.7,uniform:0.3". Raises RoundRefused.

    `size` is how many solutions are published, `per_problem` how many of one problem at most (defaults: the project's), `globally`
    lifts that limit.
    """
    parts: list[list[Any]] = [list(part) for part in MIXES[strategy].parts] if strategy in MIXES else []
    for text in [] if parts else strategy.split(","):
        name, _, weight = text.partition(":")
        with suppress(ValueError):  # what is no number is refused by the recipe, which names it
            weight = float(weight or 1)
        parts.append([name.strip(), weight])
    return checked_recipe(
        {
            "parts": parts,
            "size": project.batch_size if size is None else size,
            "per_problem": None if globally else per_problem if per_problem is not None else project.per_problem,
            "is_diverse": is_diverse,
            "is_stratified": is_stratified,
        }
    )


def checked_recipe(settings: Mapping[str, Any]) -> Recipe:
    try:
        checked = Recipe.from_settings(settings)
    except BadRecipe as error:
        raise RoundRefused(str(error)) from error
    if checked.size > queue.MAX_BATCH:
        raise RoundRefused(f"A batch holds up to {queue.MAX_BATCH:,} solutions, not {checked.size:,}.")
    return checked


def start(
    project: Project,
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    strategy: str = CONVINCING,
    size: int | None = None,
    per_problem: int | None = None,
    globally: bool = False,
    is_diverse: bool = False,
    is_stratified: bool = False,
    train: bool | None = None,
    review: bool = False,
    generate: Mapping[str, Any] | None = None,
    kind: str = ModelKind.PRM,
    preset: str | None = None,
    base: str | None = None,
    seed: int = 0,
    resume: bool = False,
    ring: bool = True,
) -> Round:
    """Queue a round and ring the worker's bell once the row is committed.

    What it publishes is said by a recipe, or by what `recipe_for` takes; size 0 trains and scores, and publishes nothing; an ORM chooses
    nothing: it is compared with. train: a model first; None: where the recipe needs one. review: the selection waits as a proposal until
    a person publishes it. generate: settings by which new solutions are sampled before the scoring (`sampling.check`). `resume` goes
    on with the newest training that broke off, on its own labels and recipe. Raises RoundRefused, also while another round of the
    project is unfinished.
    """
    if kind == ModelKind.ORM and (recipe or size or strategy != CONVINCING or generate):
        raise RoundRefused("An ORM is trained to be compared with and chooses no solutions: leave out the size and the strategy.")
    checked = None
    if recipe is not None:
        checked = recipe if isinstance(recipe, Recipe) else checked_recipe(recipe)
    elif kind != ModelKind.ORM and size != 0:
        checked = recipe_for(
            project,
            strategy=strategy,
            size=size,
            per_problem=per_problem,
            globally=globally,
            is_diverse=is_diverse,
            is_stratified=is_stratified,
        )
    if not checked and (review or train is False):
        raise RoundRefused("Nothing would be chosen: name a size above 0.")
    trains = train if train is not None else not checked or checked.needs_model
    if checked and checked.needs_model and not trains and registry.serving_version(project) is None:
        raise RoundRefused(f"{project.slug} has no model in service to choose with. Train one first, or choose uniformly.")
    config = config_of(project, kind=kind, preset=preset, base=base, seed=seed)
    params: dict[str, Any] = {
        "recipe": checked and checked.as_dict(),
        "size": checked.size if checked else 0,
        "train": trains,
        "review": review,
        "kind": kind,
        "preset": preset,
        "base": config.base,
    }
    if generate:
        params["generate"] = checked_generator(generate)
    if resume:
        params["resume"] = _resumable(project, kind=kind, is_told=bool(preset or base or seed))
    try:
        with transaction.atomic():
            newest = Batch.objects.filter(project=project, kind=BatchKind.SELECTED).aggregate(newest=Max("generation"))["newest"]
            made = Round.objects.create(
                project=project, generation=0 if newest is None else newest + 1, strategy=_name(checked), params=params, seed=seed
            )
            if ring:
                transaction.on_commit(lambda: ring_bell(made.pk))
            return made
    except IntegrityError as error:
        if error.__cause__.diag.constraint_name != "round_one_unfinished":
            raise
        other = Round.objects.get(project=project, state__in=UNFINISHED)
        raise RoundRefused(_occupied(other)) from None


def _occupied(other: Round) -> str:
    if other.state == RoundState.PROPOSED:
        return f"Round {other.generation} of {other.project.slug} waits to be looked through. Publish or discard it first."
    return f"Round {other.generation} of {other.project.slug} is still {other.state}. Wait until it has published its batch, or cancel it."


def _name(recipe: Recipe | None) -> str:
    if recipe is None:
        return ""
    if len(recipe.parts) == 1:
        return recipe.parts[0][0]
    return next((mix.name for mix in MIXES.values() if Recipe(mix.parts, recipe.size).parts == recipe.parts), "mix")


def checked_generator(settings: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return sampling.check(settings)
    except sampling.BadGeneration as error:
        raise RoundRefused(str(error)) from error


def config_of(project: Project, **told: Any) -> TrainConfig:
    try:
        return registry.config_for(project, **told)
    except (BadBase, BadConfig) as error:
        raise RoundRefused(str(error)) from error


def _resumable(project: Project, *, kind: str, is_told: bool) -> int:
    if is_told:
        raise RoundRefused("A training that is resumed keeps its base, recipe and seed: leave out preset, base and seed.")
    if broken_off := registry.resumable(project, kind=kind):
        return broken_off.number
    raise RoundRefused(f"{project.slug} has no {kind.upper()} training that broke off with a checkpoint. Start one without resuming.")


def preview(project: Project, *, kind: str = ModelKind.PRM, preset: str | None = None, base: str | None = None, seed: int = 0) -> list[str]:
    """Say in lines what a round now would train on. Changes nothing. Raises RoundRefused."""
    config = config_of(project, kind=kind, preset=preset, base=base, seed=seed)
    try:
        lines = registry.preview_training(project, config=config, kind=kind)
    except registry.ModelUnusable as error:
        raise RoundRefused(str(error)) from error
    champion = registry.serving_version(project, kind)
    return [*lines, f"in service: model {champion.number}" if champion else "in service: none, so the new one would be"]


def ring_bell(round_id: int) -> None:
    """Tell a worker that a round waits. A lost bell loses nothing: `sweep` rings again."""
    try:
        current_app.send_task("active_learning.tasks.run_round", [round_id], ignore_result=True)
    except (BrokerUnreachable, OSError) as error:
        log.warning("The broker cannot be reached (%s); round %s waits for the sweeper.", error, round_id)


def cancel(project: Project, generation: int) -> None:
    """End an unfinished round; its worker notices at its next heartbeat. Raises RoundRefused if it has already ended."""
    cancelled = Round.objects.filter(project=project, generation=generation, state__in=UNFINISHED).first()
    if not cancelled or not end(cancelled, RoundState.CANCELLED, "It was cancelled."):
        raise RoundRefused(f"Round {generation} has already ended.")


def sweep() -> list[int]:
    """Ring again for rounds nobody runs, and end those that were tried three times. Returns the rounds rung for."""
    waiting = Round.objects.filter(stale(), state__in=RUNNABLE)
    for lost in waiting.filter(attempt__gte=ATTEMPTS):
        end(lost, RoundState.FAILED, f"Its worker was lost {ATTEMPTS} times; the worker's log says why. Then start a new round.")
    rung = list(waiting.filter(attempt__lt=ATTEMPTS).values_list("pk", flat=True))
    for round_id in rung:
        ring_bell(round_id)
    return rung
