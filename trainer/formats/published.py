"""Published sets of labeled solutions: ProcessBench, Math-Shepherd, OpenRLHF, the stepwise format of TRL, the conversations of RLHFlow, the
chats of Qwen's reward models, PRMBench.

Each labels a solution step by step, by people or by a machine. The ratings up to the first mistake become an annotation. Where a set also
rates later steps, `left_out` of the solution says that they are not used.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from trainer.counting import counted
from trainer.formats.fields import as_object, as_whole, read_flag, read_list, read_optional, read_text, read_texts, read_whole
from trainer.formats.objects import Fields
from trainer.formats.ratings import canonical_bytes, rate_path
from trainer.formats.values import AFTER_MISTAKE, BadLine, NewAnnotation, NewProblem, NewSolution, in_words

MARK = "ки"  # Math-Shepherd writes it after every step
STEP_END = "<extra_0>"  # Qwen2.5-Math-PRM reads its verdict at this token, which stands after every step
_FIRST_STEP = re.compile(r"\s*(?=\bStep 1\s*:)")
_VERDICTS = {"+": 1, "-": -1}


def processbench_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line; `label` is the index of its first mistake, from 0, or -1 (arXiv 2412.06559).

    `final_answer_correct` is the recorded grade: most files have no reference answer. The id names the line, not the problem, so
    problems are identified by their statements.
    """
    steps = read_texts(fields, "steps")
    label = read_whole(fields, "label", 0, max(0, len(steps) - 1), or_else="-1") if as_whole(fields.get("label")) != -1 else -1
    if label is None:
        raise BadLine("'label' is missing", "Give the index of the first wrong step, from 0, or -1 if all steps are right")
    ratings = [1] * len(steps) if label < 0 else [*[1] * label, -1]
    problem = NewProblem(read_text(fields, "problem"), read_optional(fields, "answer", "ground_truth_answer"))
    solution = _rated(fields, problem, steps, ratings, source=read_optional(fields, "generator") or "")
    return [replace(solution, right=read_flag(fields, "final_answer_correct"))]


def math_shepherd_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line: `input` has a mark after every step, `label` has + or - at the same places (arXiv 2312.08935)."""
    text, labels = read_text(fields, "input"), read_text(fields, "label")
    *parts, rest = text.split(MARK)
    ratings: list[int | None] = []
    at = 0
    for number, part in enumerate(parts, 1):
        verdict = labels[at + len(part) : at + len(part) + 1]
        if labels[at : at + len(part)] != part or verdict not in _VERDICTS:
            raise BadLine(
                f"'label' does not repeat step {number} of 'input' with + or - after it",
                f"'label' must be 'input' with + or - in place of every {MARK!r}",
            )
        ratings.append(_VERDICTS[verdict])
        at += len(part) + 1
    if labels[at:].strip() != rest.strip():
        raise BadLine("'input' and 'label' end with different texts", f"'label' must be 'input' with + or - in place of every {MARK!r}")
    if rest.strip():
        parts, ratings = [*parts, rest], [*ratings, None]
    statement, first = _statement_and_step(parts[0] if parts else text, "'input'")
    return [_rated(fields, NewProblem(statement), [part.strip() for part in (first, *parts[1:])], ratings)]


def openrlhf_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line: `input` has a mark after every step, `value` a + or - for each mark (OpenRLHF 0.9.5)."""
    *parts, rest = read_text(fields, "input").split(MARK)
    signs = read_list(fields, "value")
    if len(signs) != len(parts):
        raise BadLine(
            f"'input' has {counted(len(parts), 'mark')} {MARK!r}, but 'value' has {counted(len(signs), 'sign')}",
            "Give each mark one + or -",
        )
    for number, sign in enumerate(signs, 1):
        if not isinstance(sign, str) or sign not in _VERDICTS:
            raise BadLine(f"the sign of step {number} is {in_words(sign)}", "A sign must be + or -")
    ratings: list[int | None] = [_VERDICTS[sign] for sign in signs]
    if rest.strip():
        parts, ratings = [*parts, rest], [*ratings, None]
    statement, first = _statement_and_step(parts[0], "'input'")
    return [_rated(fields, NewProblem(statement), [part.strip() for part in (first, *parts[1:])], ratings)]


def chat_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a chat: the user gives the problem, the answer has a token after every step, `labels` a 1 or 0 for each."""
    messages = [as_object(message, f"message {number}") for number, message in enumerate(read_list(fields, "messages"), 1)]
    roles = [message.get("role") for message in messages]
    if roles[-2:] != ["user", "assistant"] or roles[:-2] not in ([], ["system"]):
        raise BadLine("'messages' are not one of the user and one of the assistant", "Give the problem, then the whole solution")
    for message in messages[:-2]:
        message.used |= {"content"}  # an instruction, the same for all solutions
    *steps, rest = read_text(messages[-1], "content").split(STEP_END)
    labels = read_list(fields, "labels")
    if rest.strip() or len(steps) != len(labels):
        raise BadLine(
            f"the solution has {counted(len(steps), 'step')} that end with {STEP_END}, but {counted(len(labels), 'label')}",
            f"Write {STEP_END} after every step, and give each step one label",
        )
    return [_rated(fields, NewProblem(read_text(messages[-2], "content")), steps, _as_ratings(labels))]


def orm_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line of TRL's unpaired preference, as one text: a prompt, a completion, and whether its answer is right."""
    right = read_flag(fields, "label")
    if right is None:
        raise BadLine("'label' is missing", "Give true if the final answer is right, or false")
    return [NewSolution(NewProblem(read_text(fields, "prompt").removesuffix("\n")), (), text=read_text(fields, "completion"), right=right)]


def trl_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a line of TRL's stepwise supervision: a prompt, completions (the steps), and labels, true or false."""
    steps, labels = read_texts(fields, "completions"), read_list(fields, "labels")
    if len(steps) != len(labels):
        raise BadLine(
            f"the line has {counted(len(steps), 'completion')}, but {counted(len(labels), 'label')}", "Give each completion one label"
        )
    return [_rated(fields, NewProblem(read_text(fields, "prompt")), steps, _as_ratings(labels))]


def _as_ratings(labels: Sequence[object]) -> list[int | None]:
    ratings: list[int | None] = []
    for number, label in enumerate(labels, 1):
        right = label if isinstance(label, bool) else as_whole(label)
        if right not in (0, 1):
            raise BadLine(f"label {number} is {in_words(label)}", "A label must be true (the step is right) or false")
        ratings.append(1 if right else -1)
    return ratings


def rlhflow_solutions(fields: Fields) -> list[NewSolution]:
    """Return the solution of a conversation: the user gives the problem and the steps, the assistant answers each with + or -."""
    key = "conversations" if fields.get("conversations") is not None else "messages"
    turns = [as_object(turn, f"turn {number} of {key!r}") for number, turn in enumerate(read_list(fields, key), 1)]
    is_prompted = bool(turns) and turns[0].get("role", turns[0].get("from")) == "system"
    if is_prompted:
        turns.pop(0).used |= {"content", "value"}  # `left_out` names them
    texts = [read_text(turn, "content", "value").strip() for turn in turns]
    roles = ["assistant" if turn.get("role", turn.get("from")) in ("assistant", "gpt") else "user" for turn in turns]
    if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
        raise BadLine(f"the turns of {key!r} are not one of the user and one of the assistant in turn", "Give each step one answer, + or -")
    verdicts = texts[1::2]
    if wrong := next((number for number, verdict in enumerate(verdicts, 1) if verdict not in _VERDICTS), None):
        raise BadLine(f"the answer to step {wrong} is {verdicts[wrong - 1]!r:.60}", "Each answer must be + or -")
    statement, first = _statement_and_step(texts[0], f"the first turn of {key!r}")
    solution = _rated(fields, NewProblem(statement), [first, *texts[2::2]], [_VERDICTS[verdict] for verdict in verdicts])
    return [replace(solution, left_out=(*solution.left_out, "turns of the system")) if is_prompted else solution]


def prmbench_solutions(fields: Fields) -> list[NewSolution]:
    """Return the changed solution of a line, whose wrong steps `error_steps` names from 1, and the original one, which is right.

    Source: arXiv 2501.03124.
    """
    steps = read_texts(fields, "modified_process")
    if fields.get("error_steps") is None:
        raise BadLine("'error_steps' is missing", "Give the list of the wrong steps, numbered from 1, or [] if all steps are right")
    wrong = set()
    for given in read_list(fields, "error_steps"):
        if (number := as_whole(given)) is None or not 1 <= number <= len(steps):
            raise BadLine(f"'error_steps' has {in_words(given)}, but the solution has {len(steps)} steps", "Number the wrong steps from 1")
        wrong.add(number)
    ratings = [-1 if number in wrong else 1 for number in range(1, len(steps) + 1)]
    answer = read_optional(fields, "ground_truth", "answer")
    solutions = [_rated(fields, NewProblem(read_text(fields, "modified_question", "question"), answer), steps, ratings)]
    if fields.get("original_process") is not None:
        original = read_texts(fields, "original_process")
        problem = NewProblem(read_text(fields, "original_question", "question"), answer)
        if (original, problem) != (steps, solutions[0].problem):
            solutions.append(_rated(fields, problem, original, [1] * len(original), part=b"original"))
    return solutions


def _rated(
    fields: Fields, problem: NewProblem, steps: Sequence[str], ratings: Sequence[int | None], *, source: str = "", part: bytes = b""
) -> NewSolution:
    if not steps:
        raise BadLine("the solution has no steps", "Give it at least one step, or leave the line out")
    mistake = ratings.index(-1) if -1 in ratings else len(ratings)
    used, later = ratings[: mistake + 1], ratings[mistake + 1 :]
    annotation: NewAnnotation | None = None
    if any(rating is not None for rating in used):
        annotation = replace(rate_path(Fields(), used, [None] * len(used)), canonical=canonical_bytes(fields) + part)
    return NewSolution(
        problem,
        tuple(steps),
        source=source,
        annotation=annotation,
        left_out=(AFTER_MISTAKE,) if any(rating is not None for rating in later) else (),
    )


def _statement_and_step(text: str, place: str) -> tuple[str, str]:
    """Part the problem from its first step, which begins with `Step 1:`."""
    begins = [found for found in _FIRST_STEP.finditer(text) if found.end() < len(text)]
    if not begins or not text[: begins[-1].start()].strip():
        raise BadLine(f"{place} does not part the problem from the first step", "Begin the first step with 'Step 1:'")
    return text[: begins[-1].start()].strip(), text[begins[-1].end() :].strip()


def is_parted(statement: str, first: str) -> bool:
    """Tell whether a problem and its first step, written one after the other, are parted again at the same place."""
    return _statement_and_step(f"{statement} {first}", "")[1] == first.strip()
