"""Stage: labels, the rules of a submission. Takes ratings as the browser sends them and the texts that were shown. Returns a Sitting,
or raises BadSubmission with the first broken rule. Touches no table. Both ways of collecting labels in the paper have their rules here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NotRequired, TypedDict

from annotation.completions import BadSubmission, Completion, CompletionTree, ends_solution, written_text
from annotation.ingest import BadText, clean_text
from annotation.models import FinishReason
from trainer.counting import counted

LONGEST_REASON = 2000  # characters
LONGEST_SKIP_REASON = 150
LARGEST = 2**31 - 1  # the largest count; as milliseconds it is 24 days
LARGEST_POSITION = 2**15 - 1


class Rating(TypedDict):
    """What the browser sends for one text: a completion of one step, or a step written by hand."""

    step: int  # 0-based
    position: NotRequired[int]  # 0: the step itself; above 0: the alternative of that position; absent with a text
    rating: int | None  # -1, 0, 1; None only when flagged, and with a text
    flagged: NotRequired[bool]  # the labeler is unsure
    ms: NotRequired[int | None]  # active time on this text
    chosen: NotRequired[bool]  # the labeler continued from this text (interactive projects)
    text: NotRequired[str]  # written by the labeler


@dataclass(frozen=True, slots=True)
class Label:
    """One row to be stored. `position` None: the labeler wrote the text, and it has no position yet."""

    step: int
    position: int | None
    rating: int | None
    flagged: bool | None
    ms: int | None
    chosen: bool
    shown_at: int | None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a sitting ended, as the browser sends it. None: no time was measured, because no person sat there."""

    finish_reason: str
    reason: str
    active_ms: int | None
    total_ms: int | None


@dataclass(frozen=True, slots=True)
class Sitting:
    """One checked sitting: the ratings that were sent, in order, and the rows to store for them."""

    ratings: list[Rating]
    ending: Ending
    labels: list[Label]


def refuse_unless(holds: bool, code: str, message: str) -> None:
    """Raise BadSubmission unless a rule holds."""
    if not holds:
        raise BadSubmission(code, message)


# --- each rating by itself ----------------------------------------------------------------------------------------------


def well_formed(ratings: Sequence[Rating], *, n_steps: int) -> list[Rating]:
    """Return the ratings in order of step and position, each with all its keys; a written text comes last in its step.

    These are the rules of a draft, which may leave steps out. Raises BadSubmission.
    """
    seen: dict[tuple[int, int], Rating] = {}
    for sent in ratings:
        refuse_unless(isinstance(sent, Mapping), "bad_rating", "A rating must be an object with step, rating, flagged and ms.")
        step, rating, flagged = sent.get("step"), sent.get("rating"), sent.get("flagged", False)
        refuse_unless(
            type(step) is int and 0 <= step < n_steps, "unknown_step", f"This solution has no step number {step}. Steps count from 0."
        )
        refuse_unless(
            rating is None or type(rating) is int and rating in (-1, 0, 1),
            "bad_rating",
            f"Step {step + 1}: the rating must be -1, 0 or 1, not {rating!r:.40}.",
        )
        refuse_unless(type(flagged) is bool, "bad_rating", f"Step {step + 1}: flagged must be true or false, not {flagged!r:.40}.")
        ms = _milliseconds(sent.get("ms"), "bad_rating", f"Step {step + 1}: ms")
        refuse_unless(type(sent.get("chosen", False)) is bool, "bad_rating", f"Step {step + 1}: chosen must be true or false.")
        place, formed = _written(sent, step, ms) if "text" in sent else _shown(sent, step, ms)
        refuse_unless(
            (step, place) not in seen,
            "bad_rating",
            f"Step {step + 1} is rated twice." if place == 0 else f"Step {step + 1}: the same alternative is rated twice.",
        )
        seen[step, place] = formed
    return [seen[place] for place in sorted(seen)]


def _shown(sent: Rating, step: int, ms: int | None) -> tuple[int, Rating]:
    position = sent.get("position", 0)
    refuse_unless(
        type(position) is int and 0 <= position <= LARGEST_POSITION,
        "unknown_step",
        f"Step {step + 1} has no alternative {position!r:.40}.",
    )
    formed = Rating(step=step, position=position, rating=sent.get("rating"), flagged=sent.get("flagged", False), ms=ms)
    return position, Rating(**formed, chosen=True) if sent.get("chosen") else formed


def _written(sent: Rating, step: int, ms: int | None) -> tuple[int, Rating]:
    has_only_text = sent.get("position") is None and sent.get("rating") is None and not sent.get("flagged")
    refuse_unless(
        has_only_text, "bad_rating", f"Step {step + 1}: a step written by hand must have a text, and no position, rating or flag."
    )
    text = written_text(sent["text"], place=f"Step {step + 1}")
    return LARGEST_POSITION + 1, Rating(step=step, rating=None, flagged=False, ms=ms, text=text)


def ending(*, finish_reason: str, reason: str, active_ms: int | None, total_ms: int | None) -> Ending:
    """Return how the sitting ended, checked without its ratings. Raises BadSubmission."""
    refuse_unless(
        finish_reason in FinishReason.values, "bad_finish_reason", f"finish_reason must be one of {', '.join(FinishReason.values)}."
    )
    active = _milliseconds(active_ms, "bad_time", "active_ms")
    total = _milliseconds(total_ms, "bad_time", "total_ms")
    refuse_unless((active is None) == (total is None), "bad_time", "active_ms and total_ms must both be numbers of milliseconds.")
    return Ending(str(finish_reason), clean_reason(reason, limit=LONGEST_REASON), active, total)


def clean_reason(reason: str, *, limit: int) -> str:
    """Return the reason as it is stored. Raises BadSubmission if it is too long or cannot be stored."""
    refuse_unless(
        len(reason) <= limit, "too_long", f"The reason has {len(reason):,} characters. Shorten it to {limit:,} characters or fewer."
    )
    try:
        return clean_text(reason)
    except BadText as error:
        raise BadSubmission("bad_text", f"The reason cannot be stored: {error}.") from error


def _milliseconds(sent: object, code: str, name: str) -> int | None:
    """Return a time as the column can hold it. A wrong clock of the labeler's computer must not refuse their work for good."""
    refuse_unless(sent is None or type(sent) is int, code, f"{name} must be a number of milliseconds, not {sent!r:.40}.")
    return min(max(sent, 0), LARGEST) if isinstance(sent, int) else None


# --- whole solutions (phase 2 of the paper) -----------------------------------------------------------------------------


def rated_to_first_mistake(
    ratings: list[Rating], end: Ending, *, n_steps: int, shown: Mapping[int, Sequence[Completion]] | None
) -> Sitting:
    """Check a sitting on a whole solution: the steps in order up to the first negative one, and the alternatives of that one.

    ratings: well formed. shown: by step, the alternatives to rate if the mistake is there; None: this project asks for none.
    Raises BadSubmission.
    """
    own = [rating for rating in ratings if rating.get("position") == 0]
    others = [rating for rating in ratings if rating.get("position") != 0]
    if others and shown is None:
        number, position = others[0]["step"] + 1, others[0].get("position")
        refuse_unless(position is None, "unknown_step", f"Step {number} has no alternative {position}.")
        raise BadSubmission("not_asked", "This project does not ask for steps written by hand.")
    for place, rating in enumerate(own):
        refuse_unless(
            rating["step"] == place, "unrated_step", f"Step {place + 1} has no rating, but a later step has one. Rate the steps in order."
        )
        refuse_unless(
            rating["rating"] is not None or rating["flagged"],
            "unrated_step",
            f"Step {place + 1} has no rating. Rate it, or mark it as unsure.",
        )
        refuse_unless(
            place == 0 or own[place - 1]["rating"] != -1,
            "rating_after_negative",
            f"Step {place} is rated negative, so step {place + 1} and later steps must stay unrated.",
        )
    refuse_unless(
        not any("chosen" in rating for rating in ratings), "not_asked", "In this project solutions are whole, so no step can be chosen."
    )
    last, found_error = len(own) - 1, bool(own) and own[-1]["rating"] == -1
    match end.finish_reason:
        case FinishReason.SOLUTION:
            refuse_unless(bool(own), "empty", "Nothing is rated yet. Rate the steps in order.")
            refuse_unless(not found_error, "bad_finish_reason", "A step is rated negative, so finish_reason must be found_error.")
            refuse_unless(
                len(own) == n_steps, "unfinished", f"Rated so far: {len(own)} of {counted(n_steps, 'step')}. Rate the others too."
            )
        case FinishReason.FOUND_ERROR:
            refuse_unless(bool(own), "empty", "Nothing is rated yet. Rate the steps in order.")
            refuse_unless(found_error, "no_negative", "No step is rated negative, so there is no mistake. Rate the remaining steps.")
        case _:  # bad_problem and give_up may come after any number of ratings
            _refuse_without_reason(end)
    labels = [
        Label(
            step,
            0,
            rating["rating"],
            rating["flagged"] or None,  # published records know null and true at a solution's own step, never false
            rating["ms"],
            # The labeler continued past an unsure step without a rating, unless the sitting ended early at that step.
            chosen=rating["rating"] != -1 and (rating["rating"] is not None or step < last or end.finish_reason == FinishReason.SOLUTION),
            shown_at=0,
        )
        for step, rating in enumerate(own)
    ]
    places = {completion.position: place for place, completion in enumerate((shown or {}).get(last, ()), 1)}
    for rating in others:
        number, position = rating["step"] + 1, rating.get("position")
        refuse_unless(
            found_error and rating["step"] == last,
            "not_at_mistake",
            f"Step {number} is not the first mistake. Only the first mistake has alternatives.",
        )
        if position is None:
            labels.append(Label(last, None, None, False, rating["ms"], chosen=False, shown_at=None, text=rating["text"]))
            continue
        refuse_unless(position in places, "unknown_step", f"Step {number} has no alternative {position}.")
        refuse_unless(
            rating["rating"] is not None or rating["flagged"],
            "unrated_step",
            f"Alternative {places[position]} of step {number} has no rating. Rate it, or mark it as unsure.",
        )
        labels.append(Label(last, position, rating["rating"], rating["flagged"], rating["ms"], chosen=False, shown_at=places[position]))
    return Sitting(ratings, end, labels)


def _refuse_without_reason(end: Ending) -> None:
    refuse_unless(bool(end.reason.strip()), "no_reason", "Say in a few words why.")


# --- step by step (phase 1 of the paper) --------------------------------------------------------------------------------


def walked(ratings: list[Rating], end: Ending, *, tree: CompletionTree) -> Sitting:
    """Check an interactive sitting: at each step all completions are rated, and one positive one is chosen or one step is written.

    ratings: well formed. If the labeler ends the sitting early, the last step stays as it is. What was not rated there is stored
    without a rating, as in the published records. Raises BadSubmission.
    """
    refuse_unless(
        end.finish_reason != FinishReason.FOUND_ERROR,
        "bad_finish_reason",
        "In this project a mistake does not end the solution. Continue from a better step.",
    )
    ends_early = end.finish_reason != FinishReason.SOLUTION
    if ends_early:
        _refuse_without_reason(end)
    path: list[str] = []
    labels: list[Label] = []
    has_ended = False
    by_step = [(step, list(group)) for step, group in groupby(ratings, key=lambda rating: rating["step"])]
    for place, (step, group) in enumerate(by_step):
        number = place + 1
        refuse_unless(step == place, "unrated_step", f"Step {number} has no rating, but a later step has one. Rate the steps in order.")
        refuse_unless(not has_ended, "after_answer", f"Step {place} ends the solution. Nothing can follow it.")
        shown = tree.after(path)
        by_position = {completion.position: completion for completion in shown}
        rated = {rating["position"]: rating for rating in group if "text" not in rating}
        written = next((rating for rating in group if "text" in rating), None)
        chosen = [rating for rating in rated.values() if "chosen" in rating]
        for position in rated:
            refuse_unless(position in by_position, "unknown_step", f"Step {number} has no completion {position} on this path.")
        refuse_unless(
            len(chosen) + bool(written) <= 1,
            "two_chosen",
            f"Step {number}: more than one text is chosen or written. Keep one.",
        )
        refuse_unless(
            all(rating["rating"] == 1 for rating in chosen),
            "chosen_not_positive",
            f"Step {number}: the chosen completion is not rated positive. Choose one that is.",
        )
        goes_on = bool(chosen) or bool(written)
        refuse_unless(
            goes_on or ends_early and place == len(by_step) - 1,
            "nothing_chosen",
            f"Step {number}: choose the completion to continue from, or write the step yourself.",
        )
        # If the generator failed, the page had nothing to rate when the labeler wrote the step.
        if goes_on and not (written and not rated and tree.is_generated):
            _refuse_unrated(shown, rated, number)
        labels += _labels_of(place, shown, rated, is_abandoned=not goes_on)
        if written:
            labels.append(Label(place, None, None, False, written["ms"], chosen=True, shown_at=None, text=written["text"]))
            path.append(written["text"])
            has_ended = ends_solution(written["text"])
        elif chosen:
            completion = by_position[chosen[0]["position"]]
            path.append(completion.text)
            has_ended = completion.is_final
    if not ends_early:
        refuse_unless(bool(ratings), "empty", "Nothing is rated yet. Rate the completions of the first step.")
        refuse_unless(has_ended, "unfinished", f"Step {len(path)} does not end the solution. Go on until a step states the answer.")
    elif not has_ended and len(path) == len(by_step):  # the step on the page when the labeler ended the sitting
        labels += _labels_of(len(path), tree.after(path), {}, is_abandoned=True)
    return Sitting(ratings, end, labels)


def _refuse_unrated(shown: Sequence[Completion], rated: Mapping[int, Rating], number: int) -> None:
    for place, completion in enumerate(shown, 1):
        rating = rated.get(completion.position)
        refuse_unless(
            rating is not None and (rating["rating"] is not None or rating["flagged"]),
            "unrated_step",
            f"Completion {place} of step {number} has no rating. Rate it, or mark it as unsure.",
        )


def _labels_of(step: int, shown: Sequence[Completion], rated: Mapping[int, Rating], *, is_abandoned: bool) -> list[Label]:
    unrated = Rating(step=step, rating=None, flagged=False, ms=None)
    labels = []
    for place, completion in enumerate(shown):
        rating = rated.get(completion.position, unrated)
        if rating is not unrated or is_abandoned:
            chosen = "chosen" in rating
            labels.append(
                Label(step, completion.position, rating["rating"], rating["flagged"], rating["ms"], chosen=chosen, shown_at=place)
            )
    return labels
