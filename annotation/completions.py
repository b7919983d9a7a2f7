"""Stage: completions. The texts shown at one step: the completions of an interactive project, or the alternatives at a first mistake.

Reads Solution and StepAlternative. If an interactive project has no text for the next step, it asks the generator that
STEPMARK_GENERATOR names. It writes the generator's texts as StepAlternative rows, or as the first step of a new Solution for a problem
without one.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q
from django.utils.module_loading import import_string

from annotation.ingest import (
    STEP_CHARACTERS,
    STEPS,
    BadText,
    NewAlternative,
    NewProblem,
    NewSolution,
    Progress,
    add_solutions,
    clean_text,
    digest,
)
from annotation.models import Assignment, AssignmentState, Batch, Problem, Project, Solution, Split, StepAlternative, StepSource
from annotation.queue import BadBatch, Chosen, fence, lost, open_batch

log = logging.getLogger(__name__)

ANSWER = "# Answer"  # a text with this mark ends a solution
ALTERNATIVES_SHOWN = 4  # at the first mistake; the paper's figure
LONGEST_WRITTEN = 10_000  # characters of a step written by a labeler
FAILURES = 3  # in a row, after which the generator counts as down

Generate = Callable[[str, list[str], int], list[str]]  # problem, steps before, how many -> texts for the next step


class BadSubmission(ValueError):
    """What a labeler sent breaks a rule. `code` is for programs, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoCompletion(Exception):
    """The generator returned no text. The message is for people. A step can still be written by hand."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One text shown at a step. Position 0 is the solution's own step; a higher one is an alternative."""

    position: int
    text: str
    is_final: bool = False  # choosing it ends the solution


@dataclass(frozen=True, slots=True)
class CompletionTree:
    """All texts that one solution has at its steps: stored in advance (prefix None), or generated after certain steps.

    With a generator, texts stored in advance follow only the solution's own steps. Without a generator there are no other texts, so
    they are shown after any choice.
    """

    steps: list[str]
    alternatives: dict[int, list[tuple[int, str, bytes | None]]]  # step -> (position, text, prefix), lowest position first
    is_generated: bool

    @property
    def depends_on_path(self) -> bool:
        """Whether a choice changes what is shown after it."""
        return self.is_generated or any(prefix for rows in self.alternatives.values() for *_, prefix in rows)

    def after(self, path: Sequence[str]) -> list[Completion]:
        """Return what is shown after these texts. Equal texts are shown once."""
        step = len(path)
        shown: dict[str, Completion] = {}
        follows_stored = not self.is_generated or list(path) == self.steps[:step]
        if follows_stored and step < len(self.steps):
            # A loaded solution may state its answer without the mark, and without a generator nothing follows its last step.
            is_last = not self.is_generated and step == len(self.steps) - 1
            shown[self.steps[step]] = Completion(0, self.steps[step], is_last or ends_solution(self.steps[step]))
        prefix = digest(path)
        for position, text, generated_after in self.alternatives.get(step, ()):
            if generated_after == prefix or generated_after is None and follows_stored:
                shown.setdefault(text, Completion(position, text, ends_solution(text)))
        return list(shown.values())


@dataclass(frozen=True, slots=True)
class ShownCompletions:
    """What the labeling page shows for one solution in addition to its steps.

    at_mistake: by step, the alternatives to rate if the first mistake is there. by_step: the completions at each step of an interactive
    project. With `depends_on_path` they end at the labeler's current step, and the page requests more after each choice.
    """

    at_mistake: Mapping[int, list[Completion]]
    by_step: Sequence[list[Completion]]
    depends_on_path: bool = False


def shown_completions(project: Project, solution_id: int, *, ratings: Sequence[Mapping[str, Any]] = ()) -> ShownCompletions:
    """Return what the labeling page shows in addition to the steps, for a draft with these ratings.

    For whole solutions without alternatives this is nothing, and it needs no query.
    """
    if project.step_source != StepSource.INTERACTIVE:
        return ShownCompletions(alternatives_at_mistake(solution_id) if project.alternatives_after_error else {}, ())
    tree = tree_of(solution_id)
    if tree.depends_on_path:
        try:
            by_step = completions_along(solution_id, _path_of(ratings))
        except BadSubmission:  # an old draft: the page requests what it needs
            by_step = completions_along(solution_id, [])
        return ShownCompletions({}, by_step, depends_on_path=True)
    n_steps = max(len(tree.steps), *(step + 1 for step in tree.alternatives), 0)
    return ShownCompletions({}, [tree.after([""] * step) for step in range(n_steps)])


def _path_of(ratings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the path of a draft: the chosen completion or the written text of each step, up to the first step without one."""
    chosen = {rating["step"]: rating for rating in ratings if rating.get("chosen") or "text" in rating}
    steps = itertools.takewhile(chosen.__contains__, itertools.count())
    fields = ((chosen[step], "text" if "text" in chosen[step] else "position") for step in steps)
    return [{field: rating[field]} for rating, field in fields]


def ends_solution(text: str) -> bool:
    """Tell whether a step states the final answer."""
    return ANSWER in text


def alternatives_at_mistake(solution_id: int) -> dict[int, list[Completion]]:
    """Return by step the alternatives to rate if the first mistake is there: at most four, written by models, oldest first."""
    tree = tree_of(solution_id)
    by_step = {}
    for step in sorted(tree.alternatives):
        own = tree.steps[step] if step < len(tree.steps) else None
        texts = {text: position for position, text, prefix in reversed(tree.alternatives[step]) if prefix is None and text != own}
        shown = sorted((position, text) for text, position in texts.items())[:ALTERNATIVES_SHOWN]
        if shown:
            by_step[step] = [Completion(position, text, ends_solution(text)) for position, text in shown]
    return by_step


def completions_along(solution_id: int, path: Sequence[Mapping[str, object]]) -> list[list[Completion]]:
    """Return what is shown at each step of a path, and after the path: one list more than the path has places.

    path: {"position": n} for a chosen completion, {"text": ".."} for a step written by hand. The generator is not asked, so the last
    list is empty if it is needed there, or if the solution has ended. Raises BadSubmission.
    """
    tree = tree_of(solution_id)
    shown, texts, has_ended = _walk(tree, path)
    return [*shown, [] if has_ended else tree.after(texts)]


def next_completions(assignment_id: int, *, labeler: User, token: int, path: Sequence[Mapping[str, object]]) -> list[Completion]:
    """Return what is shown after a path: the stored texts, else the generator's; [] if there is no text and no generator.

    Everybody who takes the same path later sees the same texts. The assignment must be the labeler's own: held under this token, or
    submitted and reopened. Raises LeaseLost, BadSubmission (path as in `completions_along`), NoCompletion.
    """
    project, solution = "batch__project", "task__solution"
    columns = f"{solution}_id", f"{solution}__problem__statement", f"{project}__step_source", f"{project}__completions_per_step"
    submitted = Q(pk=assignment_id, labeler=labeler, state=AssignmentState.DONE)
    own = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token) | submitted)
    if (row := own.values_list(*columns).first()) is None:
        raise lost(assignment_id, labeler=labeler, token=token)
    solution_id, problem, step_source, count = row
    if step_source != StepSource.INTERACTIVE:
        raise BadSubmission("not_interactive", "In this project solutions are whole, so there is no next step to choose.")
    tree = tree_of(solution_id)
    _, texts, has_ended = _walk(tree, path)
    if has_ended:
        raise BadSubmission("after_answer", f"Step {len(texts)} ends the solution. Nothing can follow it. Submit it.")
    if len(texts) >= STEPS:
        raise BadSubmission("too_long", f"A solution can have at most {STEPS:,} steps. Write the answer, or give up.")
    if (shown := tree.after(texts)) or not tree.is_generated:
        return shown
    return _kept(solution_id, texts, generated(problem, texts, count=count))


def written_text(text: object, *, place: str) -> str:
    """Return a step written by a labeler as it is stored: without spaces at both ends. Raises BadSubmission."""
    if not isinstance(text, str) or not text.strip():
        raise BadSubmission("bad_text", f"{place}: the written step is empty or not a text. Write it again.")
    if len(text) > LONGEST_WRITTEN:
        raise BadSubmission(
            "too_long", f"{place}: the written step has {len(text):,} characters. Shorten it to {LONGEST_WRITTEN:,} characters or fewer."
        )
    try:
        return clean_text(text.strip())
    except BadText as error:
        raise BadSubmission("bad_text", f"{place}: the written step cannot be stored: {error}.") from error


def tree_of(solution_id: int) -> CompletionTree:
    """Read all texts of a solution, except those that labelers wrote."""
    alternatives: dict[int, list[tuple[int, str, bytes | None]]] = {}
    rows = StepAlternative.objects.filter(solution=solution_id, author=None).order_by("step_index", "position")
    for step, position, text, prefix in rows.values_list("step_index", "position", "text", "prefix"):
        alternatives.setdefault(step, []).append((position, text, None if prefix is None else bytes(prefix)))
    steps = Solution.objects.values_list("steps", flat=True).get(pk=solution_id)
    return CompletionTree(steps, alternatives, is_generated=bool(settings.STEPMARK_GENERATOR))


def _walk(tree: CompletionTree, path: Sequence[Mapping[str, object]]) -> tuple[list[list[Completion]], list[str], bool]:
    """Return what is shown at each step of a path, the texts of the path, and whether the last one ends the solution."""
    shown: list[list[Completion]] = []
    texts: list[str] = []
    has_ended = False
    for number, place in enumerate(path, 1):
        if not isinstance(place, Mapping) or ("text" in place) == ("position" in place):
            raise BadSubmission("bad_path", f"Step {number} of the path must have either a position or a text.")
        if has_ended:
            raise BadSubmission("after_answer", f"Step {number - 1} ends the solution. Nothing can follow it.")
        shown.append(tree.after(texts))
        if "text" in place:
            texts.append(written_text(place["text"], place=f"Step {number}"))
            has_ended = ends_solution(texts[-1])
            continue
        position = place["position"]
        chosen = next((completion for completion in shown[-1] if type(position) is int and completion.position == position), None)
        if chosen is None:
            raise BadSubmission("unknown_completion", f"Step {number} has no completion {position!r:.40}. Reload the page.")
        texts.append(chosen.text)
        has_ended = chosen.is_final
    return shown, texts, has_ended


# --- the generator --------------------------------------------------------------------------------------------------------


def generated(problem: str, steps: Sequence[str], *, count: int) -> list[str]:
    """Ask the generator for the next step. Return its distinct texts, at most `count`. Raises NoCompletion.

    It takes as long as the generator takes, so call it outside any transaction.
    """
    try:
        generate: Generate = import_string(settings.STEPMARK_GENERATOR)
        answer = generate(problem, list(steps), count)
        texts = [text for text in dict.fromkeys(_fit(text) for text in answer) if text]
    except Exception as error:  # the generator is not our code. After any error the labeler can write the step by hand
        log.exception("the generator %s failed after %d steps", settings.STEPMARK_GENERATOR, len(steps))
        raise NoCompletion("The generator failed. Write the step yourself, or try again in a moment.") from error
    if not texts:
        raise NoCompletion("The generator found no next step. Write the step yourself, or try again.")
    return texts[:count]


def _fit(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a generator must return texts, not {type(text).__name__}")
    try:
        return clean_text(text.strip()) if len(text) <= STEP_CHARACTERS else ""
    except BadText:
        return ""


def _kept(solution_id: int, path: Sequence[str], texts: Iterable[str]) -> list[Completion]:
    """Store what was generated after a path, unless a request at the same time was faster. Return what is stored now."""
    with transaction.atomic():
        hold_positions(solution_id)
        step = len(path)
        if not (shown := tree_of(solution_id).after(path)):
            first = free_position(solution_id, step=step)
            StepAlternative.objects.bulk_create(
                StepAlternative(solution_id=solution_id, step_index=step, position=position, text=text, prefix=digest(path))
                for position, text in enumerate(texts, first)
            )
            shown = tree_of(solution_id).after(path)
    return shown


def hold_positions(solution_id: int) -> None:
    """Keep others from numbering alternatives of this solution until the transaction ends."""
    Solution.objects.select_for_update(no_key=True).only("pk").get(pk=solution_id)


def free_position(solution_id: int, *, step: int) -> int:
    """Return the next free position of a step. It stays free while the positions are held."""
    rows = StepAlternative.objects.filter(solution=solution_id, step_index=step)
    return (rows.aggregate(last=Max("position"))["last"] or 0) + 1


# --- problems without a solution ------------------------------------------------------------------------------------------


def open_interactive(project: Project, *, size: int | None = None, progress: Progress | None = None) -> tuple[Batch, int]:
    """Let the generator write a first step for problems without a solution, and publish them. Return the batch and how many failed.

    size: solutions to publish; None means the project's batch size. Each first step is stored at once, so a stopped run continues where
    it was. Raises BadBatch: not an interactive project, no generator, the generator is down, no problem left.
    """
    if project.step_source != StepSource.INTERACTIVE:
        raise BadBatch(
            f"{project} collects labels of whole solutions. Load some, or set its step source to interactive before it has labels."
        )
    if not settings.STEPMARK_GENERATOR:
        raise BadBatch("No generator is configured to write first steps. Set STEPMARK_GENERATOR, or load solutions.")
    source, size, failed, in_a_row = settings.STEPMARK_GENERATOR[:200], size or project.batch_size, 0, 0
    begun = Solution.objects.filter(problem__project=project, problem__split=Split.TRAIN, source=source, withdrawn_at=None, task=None)
    unsolved = Problem.objects.filter(project=project, split=Split.TRAIN, solution=None).order_by("pk")[: max(0, size - begun.count())]
    problems = list(unsolved.values_list("external_id", "statement"))
    for number, (external_id, statement) in enumerate(problems, 1):
        try:
            first, *others = generated(statement, [], count=project.completions_per_step)
        except NoCompletion as error:
            failed, in_a_row = failed + 1, in_a_row + 1
            if in_a_row == FAILURES:
                raise BadBatch(
                    f"The generator failed {FAILURES} times in a row: {error.__cause__ or 'no text'}. Repair it and run this again."
                ) from error
            continue
        in_a_row = 0
        alternatives = tuple(NewAlternative(0, text) for text in others)
        problem = NewProblem(statement, external_id=external_id)
        add_solutions(project, [NewSolution(problem, (first,), source=source, alternatives=alternatives)])
        if progress:
            progress("writing first steps", number, len(problems))
    if not (chosen := list(begun.order_by("pk").values_list("pk", flat=True)[:size])):
        raise BadBatch(f"No training problem of {project} got a first step, so there is nothing to publish. Load more problems.")
    return open_batch(project, [Chosen(solution_id) for solution_id in chosen]), failed
