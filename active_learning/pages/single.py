"""One round: its stages as drawn, its proposal, what it chose and brought, and the models around it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from active_learning import rounds
from active_learning.charts import Point
from active_learning.models import UNFINISHED, ModelKind, ModelState, ModelVersion, Round, RoundStage, RoundState, Selection, StageName
from active_learning.pages.brought import brought, over_whole_numbers, said_of, threshold_of, weak_step
from active_learning.pages.models import model_figures
from active_learning.pages.rows import lasted, told
from active_learning.selection import Recipe
from annotation.models import Project

COMPARED = 200  # models of a chart
ON_ONE_PAGE, A_PAGE = 200, 100  # solutions of a proposal: more than the first are shown by the second
SAID = 8  # lines of a running stage's log
DOING = {
    StageName.TRAIN: "a reward model learns from all labels", StageName.JUDGE: "it meets the one in service",
    StageName.GENERATE: "new solutions are sampled", StageName.SCORE: "every solution is read",
    StageName.SELECT: "the recipe takes its share", StageName.PUBLISH: "the batch opens for labelers",
}  # fmt: skip
AT = {  # where a round stands that wrote no stages down
    RoundState.TRAINING: StageName.TRAIN, RoundState.GENERATING: StageName.GENERATE, RoundState.SCORING: StageName.SCORE,
    RoundState.SELECTING: StageName.SELECT, RoundState.PROPOSED: StageName.PUBLISH,
}  # fmt: skip
WORDS = {"now": "under way", "person": "waits for a person", "failed": "broke off", "skipped": "not reached"}
FIGURES = (("step AUC", "step_auc"), ("log-loss, nats", "log_loss"), ("first-mistake F1", "first_mistake"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a stage: how it ended, how long it took, what it said."""

    number: int
    began_at: datetime
    lasted: str
    is_running: bool
    failure: str
    log: tuple[tuple[datetime, str], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a round as drawn: `state` is done, now, person, failed, waiting or skipped."""

    name: str
    doing: str
    state: str
    attempts: tuple[Attempt, ...]

    @property
    def words(self) -> str:
        return WORDS.get(self.state, self.state)


def one_round(project: Project, round_id: int, *, page: int = 1, dropped: Collection[int] = ()) -> dict[str, Any]:
    """Return what the page of one round shows. Raises rounds.NoSuchRound.

    `page` turns the pages of a long proposal, `dropped` are the solutions that a person has left out of it so far.
    """
    this = told(rounds.find(project, round_id))
    this.project = project
    chooser = _chooser(this)
    shown = {**progress(this), "chooser": chooser, "mix": mix_rows(this.params.get("mix")), "short": this.params.get("short", "")}
    if this.state == RoundState.PROPOSED:
        shown["proposal"] = _proposal(this, chooser, page=page, dropped=set(dropped))
    elif this.batch_id:
        shown |= {"brought": brought(this, chooser), "selected": _selected(this, page=page)}
    return shown | _models(this, chooser)


def progress(this: Round) -> dict[str, Any]:
    """Return how far a round is. `seen` changes with everything that the page shows elsewhere: then it is fetched whole."""
    this.is_unfinished = this.state in UNFINISHED
    found: dict[str, list[Attempt]] = {name: [] for name in StageName.values}
    for row in RoundStage.objects.filter(round=this).order_by("pk"):
        is_running = row.ended_at is None and this.is_unfinished
        log = tuple((datetime.fromisoformat(at), said) for at, said in row.log)
        took = lasted(row.began_at, timezone.now() if is_running else row.ended_at)
        found[row.name].append(Attempt(row.attempt, row.began_at, took, is_running, row.failure, log))
    planned, stages = _planned(this), []
    for name, doing in DOING.items():
        if found[name] or name in planned:
            stages.append(Stage(name, doing, _state(this, name, found[name], is_told=any(found.values())), tuple(found[name])))
    running = [attempt for attempts in found.values() for attempt in attempts if attempt.is_running]
    return {
        "round": this,
        "stages": stages,
        "attempts": [(stage, attempt) for stage in stages for attempt in stage.attempts],
        "saying": running[0].log[-SAID:] if running else (),
        "is_moving": this.is_unfinished and this.state != RoundState.PROPOSED,
        "seen": f"{this.state}-{sum(len(one) for one in found.values())}-{len(running)}",
    }


def _planned(this: Round) -> set[str]:
    """Name the stages a round goes through when nothing stands in its way."""
    recipe, kind = this.params.get("recipe"), this.params.get("kind", ModelKind.PRM)
    needs_model = Recipe.from_settings(recipe).needs_model if recipe else this.strategy != "uniform"
    planned = {StageName.TRAIN, StageName.JUDGE} if this.params.get("train", needs_model) else set()
    planned |= {StageName.GENERATE} if this.params.get("generate") else set()
    planned |= {StageName.SCORE} if kind == ModelKind.PRM and needs_model else set()
    return planned | ({StageName.SELECT, StageName.PUBLISH} if this.params.get("size") else set())


def _state(this: Round, name: str, attempts: Sequence[Attempt], *, is_told: bool) -> str:
    if this.state == RoundState.PROPOSED and name == StageName.PUBLISH:
        return "person"
    if attempts:
        return "now" if attempts[-1].is_running else "failed" if attempts[-1].failure else "done"
    if this.state == RoundState.PUBLISHED and not is_told:  # rounds before their stages were written down
        return "done"
    if not this.is_unfinished:
        return "skipped"
    return "now" if not is_told and AT.get(this.state) == name else "waiting"


def _chooser(this: Round) -> ModelVersion | None:
    """Return the model a round chose with."""
    trained = this.model_version
    number = this.params.get("chosen_with") or (trained.number if trained and trained.kind == ModelKind.PRM and this.batch_id else None)
    return ModelVersion.objects.filter(project=this.project, number=number).first() if number else None


def mix_rows(mix: Mapping[str, Mapping[str, Any]] | None) -> list[tuple[str, str, str]]:
    """Return what pool.describe expects of a selection beside what it expects of as many solutions at random, in words."""
    if not mix:
        return []
    rows = (
        ("solutions", "n_solutions", ",d"),
        ("problems", "n_problems", ",d"),
        ("wrong final answer", "share_wrong", ".0%"),
        ("right final answer", "share_right", ".0%"),
        ("mean score", "mean_score", ".3f"),
        ("expected to hold a mistake", "expected_share_with_mistake", ".0%"),
    )

    def written(of: str, name: str, form: str) -> str:
        value = mix.get(of, {}).get(name)
        return "–" if value is None else format(value, form)

    return [(words, written("chosen", name, form), written("uniform", name, form)) for words, name, form in rows]


# --- the proposal and the choice -----------------------------------------------------------------------------------------------


def _proposal(this: Round, chooser: ModelVersion | None, *, page: int, dropped: set[int]) -> dict[str, Any]:
    """Return a page of the chosen solutions, their steps shaded by score, and who was left out on the other pages."""
    rows = Selection.objects.filter(round=this).select_related("solution__problem").order_by("rank")
    n = rows.count()
    paged = _paged(n, page, A_PAGE if n > ON_ONE_PAGE else ON_ONE_PAGE)
    threshold = threshold_of(chooser)
    chosen = []
    for row in rows[paged["first"] : paged["last"]]:
        weak = weak_step(row.step_scores, threshold)
        steps = [
            {
                "number": place + 1,
                "text": text,
                "right": row.step_scores[place] if place < len(row.step_scores) else None,
                "is_weak": place == weak,
            }
            for place, text in enumerate(row.solution.steps)
        ]
        chosen.append({"row": row, "steps": steps, "is_left_out": row.solution_id in dropped})
    here = {one["row"].solution_id for one in chosen}
    return paged | {"chosen": chosen, "n": n, "elsewhere": sorted(dropped - here), "threshold": threshold}


def _selected(this: Round, *, page: int) -> dict[str, Any]:
    """Return a page of what a published round chose, and what people said of it."""
    rows = Selection.objects.filter(round=this).select_related("solution__problem").order_by("rank")
    paged = _paged(rows.count(), page, A_PAGE)
    listed = list(rows[paged["first"] : paged["last"]])
    said = said_of([this], [row.solution_id for row in listed])
    return paged | {"rows": [(row, said.get(row.solution_id, [])) for row in listed]}


def _paged(n: int, page: int, size: int) -> dict[str, Any]:
    pages = max(1, math.ceil(n / size))
    page = min(max(1, page), pages)
    return {"page": page, "pages": range(1, pages + 1), "first": (page - 1) * size, "last": min(n, page * size)}


# --- the models around it ------------------------------------------------------------------------------------------------------


def _models(this: Round, chooser: ModelVersion | None) -> dict[str, Any]:
    """Return the held-out figures of a round's model, the ones before and after it and the control selector, and all over the numbers."""
    ready = ModelVersion.objects.filter(project=this.project, kind=ModelKind.PRM, state=ModelState.READY).order_by("-number")
    by_number = {version.number: version for version in reversed(ready[:COMPARED])}
    trained = this.model_version if this.model_version and this.model_version.number in by_number else None
    own = trained or chooser
    before = max((number for number in by_number if own and number < own.number), default=None)
    after = min((number for number in by_number if own and number > own.number), default=None)
    columns = [
        ("the one before", by_number.get(before)),
        ("this round’s model" if trained else "the model it chose with", own),
        ("the next", by_number.get(after)),
        ("control selector", by_number.get(this.params.get("control"))),
    ]
    known = [(words, version) for words, version in columns if version]
    figures = [model_figures(version.metrics)[:3] for _, version in known]
    series = [
        (words, [Point(number, value) for number, one in by_number.items() if (value := _figure(one, name)) is not None])
        for words, name in FIGURES
    ]
    return {
        "own": own,
        "columns": known,
        "figures": [(row[0].words, [one.value for one in row]) for row in zip(*figures, strict=True)],
        "control": by_number.get(this.params.get("control")),
        "history": over_whole_numbers(series, x_words="model", y_words="held-out figures") if len(by_number) > 1 else None,
    }


def _figure(version: ModelVersion, name: str) -> float | None:
    value = version.metrics.get(name)
    return (value or {}).get("f1") if name == "first_mistake" else value
