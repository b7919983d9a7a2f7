"""Formats with one verdict for each step, good or bad: TRL, OpenRLHF, Math-Shepherd, RLHFlow, and the chat of Qwen's reward models.

They end at the first mistake, which is their last step. Nothing after it was rated, so nothing after it is written as bad.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainer.formats import MARK, STEP_END, is_parted
from trainer.writers.labeled import Labeled
from trainer.writers.losses import Losses
from trainer.writers.shapes import NEUTRAL, WRITTEN, Field, Options, Writer
from trainer.writers.verdicts import StepVerdict, count_changes, judge

if TYPE_CHECKING:
    import pyarrow as pa

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."  # of the model card of Qwen2.5-Math-PRM
TOKENS = (STEP_END, "<|im_start|>", "<|im_end|>", "<|endoftext|>")  # a text that spells one would be read as that token
TRIMMED = "the white space around its texts is not in the file"
NUMBERED = "its steps got numbers (`Step 1:`)"
HOLDS_MARK = f"the text holds the mark {MARK}"
FIRST_TWICE = "`Step 1:` occurs inside of the first step"
NO_STATEMENT = "the problem is empty"
Row = dict[str, Any]


# --- TRL ------------------------------------------------------------------------------------------------------------------------


def _trl_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if verdict := judge(one, options, losses):
            count_changes(one, verdict, losses)
            yield {"prompt": one.problem, "completions": list(one.steps[: verdict.n_steps]), "labels": verdict.goods}


def _trl_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("prompt", pa.string()), ("completions", pa.list_(pa.string())), ("labels", pa.list_(pa.bool_()))])


# --- Math-Shepherd and OpenRLHF: one text with a mark after every step ------------------------------------------------------------


def numbered_steps(problem: str, steps: Sequence[str]) -> list[str] | None:
    """Return the steps with their numbers before them (`Step 1:`), and without white space around them.

    If the first step has its number already, no step gets one. A reader parts the problem from the first step by these words. So the result
    is None if they occur in the first step once more: the reader would take the beginning of that step for the problem.
    """
    texts = [step.strip() for step in steps]
    if not texts[0].startswith("Step 1:"):
        texts = [f"Step {number}: {text}".rstrip() for number, text in enumerate(texts, 1)]
    return texts if is_parted(problem.strip(), texts[0]) else None


def marked_text(problem: str, steps: Sequence[str], marks: Sequence[str]) -> str:
    """Return the problem and its numbered steps as Math-Shepherd writes them, with a mark after each step."""
    return f"{problem.strip()} " + "\n".join(f"{step} {mark}" for step, mark in zip(steps, marks, strict=True))


def _numbered(one: Labeled, verdict: StepVerdict, losses: Losses) -> list[str] | None:
    """Return the numbered steps and count what they lack. Return None if the problem and the first step cannot be parted."""
    if not one.problem.strip():
        losses.left_out[NO_STATEMENT] += 1
        return None
    own = one.steps[: verdict.n_steps]
    if (steps := numbered_steps(one.problem, own)) is None:
        losses.left_out[FIRST_TWICE] += 1
        return None
    count_changes(one, verdict, losses)
    if any(text != text.strip() for text in (one.problem, *own)):
        losses.changed[TRIMMED] += 1
    if steps[0] != own[0].strip():
        losses.changed[NUMBERED] += 1
    return steps


def _marked(one: Labeled, options: Options, losses: Losses) -> tuple[list[str], list[str]] | None:
    """Return the numbered steps and their signs, + or -."""
    if not (verdict := judge(one, options, losses)):
        return None
    if MARK in one.problem or any(MARK in step for step in one.steps[: verdict.n_steps]):
        losses.left_out[HOLDS_MARK] += 1
        return None
    if (steps := _numbered(one, verdict, losses)) is None:
        return None
    return steps, ["+" if good else "-" for good in verdict.goods]


def _math_shepherd_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if marked := _marked(one, options, losses):
            steps, signs = marked
            yield {
                "input": marked_text(one.problem, steps, [MARK] * len(steps)),
                "label": marked_text(one.problem, steps, signs),
                "task": one.subject,
            }


def _math_shepherd_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("input", pa.string()), ("label", pa.string()), ("task", pa.string())])


def _openrlhf_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if marked := _marked(one, options, losses):
            steps, signs = marked
            yield {"input": marked_text(one.problem, steps, [MARK] * len(steps)), "value": signs}


def _openrlhf_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("input", pa.string()), ("value", pa.list_(pa.string()))])


# --- RLHFlow: a conversation, each answer + or - ----------------------------------------------------------------------------------


def turns(problem: str, steps: Sequence[str], goods: Sequence[bool]) -> list[dict[str, str]]:
    """Return the conversation of numbered steps: the user gives the problem and the steps, the assistant answers each with + or -."""
    said = [f"{problem.strip()} {steps[0]}", *steps[1:]]
    pairs = (
        ({"role": "user", "content": text}, {"role": "assistant", "content": "+" if good else "-"})
        for text, good in zip(said, goods, strict=True)
    )
    return [turn for pair in pairs for turn in pair]


def _rlhflow_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if (verdict := judge(one, options, losses)) and (steps := _numbered(one, verdict, losses)):
            yield {"conversations": turns(one.problem, steps, verdict.goods)}


def _rlhflow_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("conversations", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))])


# --- Qwen: a chat whose answer has a token after every step ------------------------------------------------------------------------


def _chat_rows(labeled: Iterable[Labeled], options: Options, losses: Losses) -> Iterator[Row]:
    for one in labeled:
        if not (verdict := judge(one, options, losses)):
            continue
        steps = one.steps[: verdict.n_steps]
        if token := next((token for token in TOKENS if token in one.problem or any(token in step for step in steps)), None):
            losses.left_out[f"the text holds the special token {token}"] += 1
            continue
        count_changes(one, verdict, losses)
        yield {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": one.problem},
                {"role": "assistant", "content": "".join(f"{step}{STEP_END}" for step in steps)},
            ],
            "labels": [int(good) for good in verdict.goods],
        }


def _chat_schema() -> "pa.Schema":
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema([("messages", pa.list_(message)), ("labels", pa.list_(pa.int8()))])


ENDS = "The last step is the first mistake, or the end of a right solution."
STEPWISE = (
    Writer(
        "trl",
        f"Stepwise supervision of TRL, read by its PRMTrainer. {ENDS}",
        (
            Field("prompt", "text", "the problem"),
            Field("completions", "list of texts", "the steps up to the first mistake, byte for byte"),
            Field("labels", "list of true and false", "one for each step: true is good. Only the last one can be false"),
        ),
        (NEUTRAL, WRITTEN),
        _trl_schema,
        _trl_rows,
    ),
    Writer(
        "openrlhf",
        f"Process rewards of OpenRLHF: --input_key input --label_key value --placeholder_token {MARK} --reward_tokens + -. {ENDS}",
        (
            Field(
                "input",
                "text",
                f"the problem, a blank, and the numbered steps in lines of their own, each with a blank and {MARK} after it",
            ),
            Field("value", "list of texts", f"+ or - for each {MARK}. Only the last one can be -"),
        ),
        (NEUTRAL, WRITTEN),
        _openrlhf_schema,
        _openrlhf_rows,
    ),
    Writer(
        "math_shepherd",
        f"The format of Math-Shepherd: one text with a mark after every step. {ENDS}",
        (
            Field(
                "input",
                "text",
                f"the problem, a blank, and the numbered steps in lines of their own, each with a blank and {MARK} after it",
            ),
            Field("label", "text", f"the same text with + or - in place of each {MARK}. Only the last one can be -"),
            Field("task", "text", "the subject of the problem, empty if it has none. In Math-Shepherd: GSM8K or MATH"),
        ),
        (NEUTRAL, WRITTEN),
        _math_shepherd_schema,
        _math_shepherd_rows,
    ),
    Writer(
        "rlhflow",
        f"Conversations of RLHFlow, which axolotl and LLaMA-Factory train as a chat. {ENDS}",
        (
            Field("conversations", "list of objects", "for each step one turn of the user and one of the assistant"),
            Field("conversations[].role", "text", "user or assistant"),
            Field(
                "conversations[].content",
                "text",
                "of the user: a numbered step, the first one after the problem and a blank. Of the assistant: + or -",
            ),
        ),
        (NEUTRAL, WRITTEN),
        _rlhflow_schema,
        _rlhflow_rows,
    ),
    Writer(
        "chat",
        f"A chat as Qwen2.5-Math-PRM reads it, with the token {STEP_END} after every step. {ENDS}",
        (
            Field("messages", "list of objects", "three messages: system, user, assistant"),
            Field("messages[].role", "text", "system, user or assistant"),
            Field(
                "messages[].content",
                "text",
                f"the instruction of Qwen2.5-Math-PRM; the problem; the steps up to the first mistake, each with {STEP_END} after it",
            ),
            Field("labels", "list of 1 and 0", f"one for each {STEP_END}: 1 is good. Only the last one can be 0"),
        ),
        (NEUTRAL, WRITTEN),
        _chat_schema,
        _chat_rows,
    ),
)
