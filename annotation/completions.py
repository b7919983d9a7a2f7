"""Stage: completions. What may come next: the texts shown at one step, in two kinds of projects.

Reads Solution and StepAlternative; asks the generator named by STEPMARK_GENERATOR where an interactive project has no text to go on
with, and writes its texts as StepAlternative rows, or as the begun Solution of a problem that has none. After a first mistake it gives
the alternatives to be rated.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q
from django.utils.module_loading import import_string

from annotation.ingest import NewAlternative, NewProblem, NewSolution, Progress, add_solutions
from annotation.ingest.values import STEP_CHARACTERS, BadText, clean_text, digest
from annotation.models import Assignment, AssignmentState, Batch, Problem, Project, Solution, Split, StepAlternative, StepSource
from annotation.queue import BadBatch, Chosen, LeaseLost, fence, open_batch

log = logging.getLogger(__name__)

ANSWER = "# Answer"  # a text with this mark ends a solution
ALTERNATIVES_SHOWN = 4  # at the first mistake; the paper's figure
LONGEST_WRITTEN = 10_000  # characters of a step written by a labeler
LONGEST_WALK = 2_000  # steps
FAILURES = 3  # in a row: the generator is down

Generate = Callable[[str, list[str], int], list[str]]  # problem, steps gone before, how many -> texts of the next step


class BadSubmission(ValueError):
    """What a labeler sent does not hold. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class GeneratorFailed(Exception):
    """The generator gave nothing to go on with; the message is for people. A step can still be written by hand."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One text shown at a step. Position 0 is the solution's own step, more an alternative."""

    position: int
    text: str
    is_final: bool = False  # going on from it ends the solution


@dataclass(frozen=True, slots=True)
class Tree:
    """All texts that one solution has at its steps: loaded ahead (prefix None), or generated after certain steps.

    With a generator, what was loaded ahead goes on only from the solution's own steps; without one it is all there is, so it is
    shown whatever was chosen before.
    """

    steps: list[str]
    alternatives: dict[int, list[tuple[int, str, bytes | None]]]  # step -> (position, text, prefix), lowest position first
    is_generated: bool

    def after(self, path: Sequence[str]) -> list[Completion]:
        """Return what is shown after these texts; the same text twice is shown once."""
        step, shown = len(path), {}
        goes_on = not self.is_generated or list(path) == self.steps[:step]
        if goes_on and step < len(self.steps):
            # What was loaded may state its answer in other words, and nothing comes after its last step.
            is_last = not self.is_generated and step == len(self.steps) - 1
            shown[self.steps[step]] = Completion(0, self.steps[step], is_last or ends_solution(self.steps[step]))
        prefix = digest(path)
        for position, text, grown_from in self.alternatives.get(step, ()):
            if grown_from == prefix or grown_from is None and goes_on:
                shown.setdefault(text, Completion(position, text, ends_solution(text)))
        return list(shown.values())


def ends_solution(text: str) -> bool:
    """Tell whether a step states the final answer."""
    return ANSWER in text


def alternatives_at_error(solution_id: int) -> dict[int, list[Completion]]:
    """Return by step the alternatives to be rated if the first mistake is there: model-made ones, at most four, oldest first."""
    tree = tree_of(solution_id)
    found = {}
    for step in sorted(tree.alternatives):
        own = tree.steps[step] if step < len(tree.steps) else None
        texts = {text: position for position, text, prefix in reversed(tree.alternatives[step]) if prefix is None and text != own}
        shown = sorted((position, text) for text, position in texts.items())[:ALTERNATIVES_SHOWN]
        if shown:
            found[step] = [Completion(position, text, ends_solution(text)) for position, text in shown]
    return found


def completions_along(solution_id: int, path: Sequence[Mapping[str, object]]) -> list[list[Completion]]:
    """Return what is shown at each step of a path, and after it: one list more than the path has places.

    path: {"position": n} for a completion gone on from, {"text": ".."} for a step written by hand. The generator is not asked: the
    last list is empty where it has to be, or where the solution has ended. Raises BadSubmission.
    """
    tree = tree_of(solution_id)
    shown, texts, has_ended = _walk(tree, path)
    return [*shown, [] if has_ended else tree.after(texts)]


def next_completions(assignment_id: int, *, labeler: User, token: int, path: Sequence[Mapping[str, object]]) -> list[Completion]:
    """Return what is shown after a path, from the rows there are, else from the generator; [] where there is neither.

    Everybody who comes to the same place later sees the same texts. The assignment must be the labeler's own: held under this token,
    or submitted and reopened. Raises LeaseLost, BadSubmission (path as in `completions_along`), GeneratorFailed.
    """
    project, solution = "batch__project", "task__solution"
    columns = f"{solution}_id", f"{solution}__problem__statement", f"{project}__step_source", f"{project}__completions_per_step"
    submitted = Q(pk=assignment_id, labeler=labeler, state=AssignmentState.DONE)
    mine = Assignment.objects.filter(fence(assignment_id, labeler=labeler, token=token) | submitted)
    if (assignment := mine.values_list(*columns).first()) is None:
        raise LeaseLost
    solution_id, problem, step_source, count = assignment
    if step_source != StepSource.INTERACTIVE:
        raise BadSubmission("not_interactive", "In this project solutions are whole: there is no next step to choose.")
    tree = tree_of(solution_id)
    _, texts, has_ended = _walk(tree, path)
    if has_ended:
        raise BadSubmission("after_answer", f"Step {len(texts)} ends the solution: nothing comes after it. Submit it.")
    if len(texts) >= LONGEST_WALK:
        raise BadSubmission("too_long", f"A solution has at most {LONGEST_WALK:,} steps. Give up, or end it with the answer.")
    if (shown := tree.after(texts)) or not tree.is_generated:
        return shown
    return _kept(solution_id, texts, generated(problem, texts, count=count))


def written_text(text: object, *, place: str) -> str:
    """Return a step written by a labeler as it is stored, without blanks around it. Raises BadSubmission."""
    if not isinstance(text, str) or not text.strip():
        raise BadSubmission("bad_text", f"{place}: a step written by hand is a text, and not empty.")
    if len(text) > LONGEST_WRITTEN:
        raise BadSubmission("too_long", f"{place}: the written step has {len(text):,} characters; at most {LONGEST_WRITTEN:,} fit.")
    try:
        return clean_text(text.strip())
    except BadText as error:
        raise BadSubmission("bad_text", f"{place}: the written step cannot be stored: {error}.") from error


def tree_of(solution_id: int) -> Tree:
    """Read all texts of a solution but those that labelers wrote."""
    alternatives: dict[int, list[tuple[int, str, bytes | None]]] = {}
    rows = StepAlternative.objects.filter(solution=solution_id, author=None).order_by("step_index", "position")
    for step, position, text, prefix in rows.values_list("step_index", "position", "text", "prefix"):
        alternatives.setdefault(step, []).append((position, text, None if prefix is None else bytes(prefix)))
    steps = Solution.objects.values_list("steps", flat=True).get(pk=solution_id)
    return Tree(steps, alternatives, is_generated=bool(settings.STEPMARK_GENERATOR))


def _walk(tree: Tree, path: Sequence[Mapping[str, object]]) -> tuple[list[list[Completion]], list[str], bool]:
    """Return what is shown at every step of a path, the texts gone on from, and whether the last of them ends the solution."""
    shown: list[list[Completion]] = []
    texts: list[str] = []
    has_ended = False
    for number, place in enumerate(path, 1):
        if not isinstance(place, Mapping) or ("text" in place) == ("position" in place):
            raise BadSubmission("bad_path", f"Step {number} of the path has to name a position or a text, and not both.")
        if has_ended:
            raise BadSubmission("after_answer", f"Step {number - 1} ends the solution: nothing comes after it.")
        shown.append(tree.after(texts))
        if "text" in place:
            texts.append(written_text(place["text"], place=f"Step {number}"))
            has_ended = ends_solution(texts[-1])
            continue
        position = place["position"]
        gone_on = next((one for one in shown[-1] if type(position) is int and one.position == position), None)
        if gone_on is None:
            raise BadSubmission("unknown_completion", f"Step {number} has no completion {position!r:.40}. Reload the page.")
        texts.append(gone_on.text)
        has_ended = gone_on.is_final
    return shown, texts, has_ended


# --- the generator --------------------------------------------------------------------------------------------------------


def generated(problem: str, steps: Sequence[str], *, count: int) -> list[str]:
    """Ask the generator for the next step; return its distinct texts, at most `count`. Raises GeneratorFailed.

    Takes as long as the generator does: call it outside any transaction.
    """
    try:
        generate: Generate = import_string(settings.STEPMARK_GENERATOR)
        answer = generate(problem, list(steps), count)
        texts = [text for text in dict.fromkeys(_fit(text) for text in answer) if text]
    except Exception as error:  # somebody else's code and somebody else's model: whatever it is, the labeler can go on by hand
        log.exception("the generator %s failed after %d steps", settings.STEPMARK_GENERATOR, len(steps))
        raise GeneratorFailed("The generator failed. Write the step yourself, or try again in a moment.") from error
    if not texts:
        raise GeneratorFailed("The generator had no idea how to go on. Write the step yourself, or try again.")
    return texts[:count]


def _fit(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a generator gives texts, not {type(text).__name__}")
    try:
        return clean_text(text.strip()) if len(text) <= STEP_CHARACTERS else ""
    except BadText:
        return ""


def _kept(solution_id: int, path: Sequence[str], texts: Iterable[str]) -> list[Completion]:
    """Store what was generated after a path, unless somebody who asked at the same time was quicker; return what stands."""
    with transaction.atomic():
        hold_positions(solution_id)
        step, standing = len(path), tree_of(solution_id)
        if not (shown := standing.after(path)):
            first = free_position(solution_id, step=step)
            StepAlternative.objects.bulk_create(
                StepAlternative(solution_id=solution_id, step_index=step, position=position, text=text, prefix=digest(path))
                for position, text in enumerate(texts, first)
            )
            shown = tree_of(solution_id).after(path)
    return shown


def hold_positions(solution_id: int) -> None:
    """Let nobody else number alternatives of this solution until the transaction ends."""
    Solution.objects.select_for_update(no_key=True).only("pk").get(pk=solution_id)


def free_position(solution_id: int, *, step: int) -> int:
    """Return the lowest position above all of a step; true as long as its positions are held."""
    rows = StepAlternative.objects.filter(solution=solution_id, step_index=step)
    return (rows.aggregate(last=Max("position"))["last"] or 0) + 1


# --- problems without a solution ------------------------------------------------------------------------------------------


def open_interactive(project: Project, *, size: int | None = None, progress: Progress | None = None) -> tuple[Batch, int]:
    """Let the generator begin problems that have no solution, and publish them; return the batch, and how many problems it failed on.

    size: the project's batch size. Each beginning is stored as it comes, so what was stopped goes on where it was. Raises BadBatch:
    no interactive project, no generator, a generator that is down, no problem left.
    """
    if project.step_source != StepSource.INTERACTIVE:
        raise BadBatch(
            f"{project} collects labels of whole solutions. Load some, or make its step source interactive before it has labels."
        )
    if not settings.STEPMARK_GENERATOR:
        raise BadBatch("No generator is configured, so nobody can begin these problems. Set STEPMARK_GENERATOR, or load solutions instead.")
    source, size, failed, in_a_row = settings.STEPMARK_GENERATOR[:200], size or project.batch_size, 0, 0
    begun = Solution.objects.filter(problem__project=project, problem__split=Split.TRAIN, source=source, withdrawn_at=None, task=None)
    bare = Problem.objects.filter(project=project, split=Split.TRAIN, solution=None).order_by("pk")[: max(0, size - begun.count())]
    problems = list(bare.values_list("external_id", "statement"))
    for number, (external_id, statement) in enumerate(problems, 1):
        try:
            first, *others = generated(statement, [], count=project.completions_per_step)
        except GeneratorFailed as error:
            failed, in_a_row = failed + 1, in_a_row + 1
            if in_a_row == FAILURES:
                raise BadBatch(
                    f"The generator failed {FAILURES} times in a row: {error.__cause__ or 'no text'}. Mend it and go on."
                ) from error
            continue
        in_a_row = 0
        alternatives = tuple(NewAlternative(0, text) for text in others)
        problem = NewProblem(statement, external_id=external_id)
        add_solutions(project, [NewSolution(problem, (first,), source=source, alternatives=alternatives)])
        if progress:
            progress("beginning", number, len(problems))
    if not (chosen := list(begun.order_by("pk").values_list("pk", flat=True)[:size])):
        raise BadBatch(f"No training problem of {project} is without a solution. Load more problems.")
    return open_batch(project, [Chosen(solution_id) for solution_id in chosen]), failed
