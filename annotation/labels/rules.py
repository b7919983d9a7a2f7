"""Stage: labels, what a submission may say. Reads ratings as the browser sends them and the texts that were shown; gives Work, or
BadSubmission with the first rule broken. Touches no table: the rules of both collections of the paper, side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NotRequired, TypedDict

from annotation.completions import BadSubmission, Completion, Tree, ends_solution, written_text
from annotation.ingest.values import BadText, clean_text
from annotation.models import FinishReason

LONGEST_REASON = 2000  # characters
LONGEST_SKIP_REASON = 150
MAX_STEPS = 2000
LARGEST = 2**31 - 1  # the range of a count; as milliseconds 25 days
LARGEST_POSITION = 2**15 - 1


class Rating(TypedDict):
    """What the browser sends for one text: a completion of one step, or a step written by hand."""

    step: int  # 0-based
    position: NotRequired[int]  # 0: the step itself; more: the alternative of that position; absent with a text
    rating: int | None  # -1, 0, 1; None only when flagged, and with a text
    flagged: NotRequired[bool]  # the labeler is unsure
    ms: NotRequired[int | None]  # active time on this text
    chosen: NotRequired[bool]  # the solution went on from here (interactive projects)
    text: NotRequired[str]  # written by the labeler


@dataclass(frozen=True, slots=True)
class Label:
    """One row to be stored. `position` None: a text written by the labeler, which has no place yet."""

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
    """How a sitting ended, as the browser says it."""

    finish_reason: str
    reason: str
    active_ms: int
    total_ms: int


@dataclass(frozen=True, slots=True)
class Work:
    """One sitting, checked: what was sent, in order, and the rows it comes to."""

    ratings: list[Rating]
    ending: Ending
    labels: list[Label]


def refuse_unless(holds: bool, code: str, message: str) -> None:
    if not holds:
        raise BadSubmission(code, message)


# --- each rating by itself ----------------------------------------------------------------------------------------------


def well_formed(ratings: Sequence[Rating], *, n_steps: int) -> list[Rating]:
    """Return the ratings by step and position, each with all its keys, a written text last; the rules of a draft, which may have gaps."""
    seen: dict[tuple[int, int], Rating] = {}
    for one in ratings:
        refuse_unless(isinstance(one, Mapping), "bad_rating", "A rating is an object with step, rating, flagged and ms.")
        step, rating, flagged, ms = one.get("step"), one.get("rating"), one.get("flagged", False), one.get("ms")
        refuse_unless(
            type(step) is int and 0 <= step < n_steps, "unknown_step", f"This solution has no step number {step}; they count from 0."
        )
        refuse_unless(
            rating is None or type(rating) is int and rating in (-1, 0, 1),
            "bad_rating",
            f"Step {step + 1}: a rating is -1, 0 or 1, not {rating!r:.40}.",
        )
        refuse_unless(type(flagged) is bool, "bad_rating", f"Step {step + 1}: flagged is true or false, not {flagged!r:.40}.")
        refuse_unless(ms is None or _is_count(ms), "bad_rating", f"Step {step + 1}: ms is a number of milliseconds, not {ms!r:.40}.")
        refuse_unless(type(one.get("chosen", False)) is bool, "bad_rating", f"Step {step + 1}: chosen is true or false.")
        place, formed = _written(one, step) if "text" in one else _shown(one, step)
        refuse_unless(
            (step, place) not in seen,
            "bad_rating",
            f"Step {step + 1} is rated twice." if place == 0 else f"Step {step + 1}: the same alternative is rated twice.",
        )
        seen[step, place] = formed
    return [seen[place] for place in sorted(seen)]


def _shown(one: Rating, step: int) -> tuple[int, Rating]:
    position = one.get("position", 0)
    refuse_unless(
        type(position) is int and 0 <= position <= LARGEST_POSITION,
        "unknown_step",
        f"Step {step + 1} has no alternative {position!r:.40}.",
    )
    formed = Rating(step=step, position=position, rating=one.get("rating"), flagged=one.get("flagged", False), ms=one.get("ms"))
    return position, Rating(**formed, chosen=True) if one.get("chosen") else formed


def _written(one: Rating, step: int) -> tuple[int, Rating]:
    plain = one.get("position") is None and one.get("rating") is None and not one.get("flagged")
    refuse_unless(plain, "bad_rating", f"Step {step + 1}: a step written by hand has a text, and neither position, rating nor flag.")
    text = written_text(one["text"], place=f"Step {step + 1}")
    return LARGEST_POSITION + 1, Rating(step=step, rating=None, flagged=False, ms=one.get("ms"), text=text)


def ending(*, finish_reason: str, reason: str, active_ms: int, total_ms: int) -> Ending:
    """Return how the sitting ended, checked by itself."""
    refuse_unless(finish_reason in FinishReason.values, "bad_finish_reason", f"A sitting ends with {', '.join(FinishReason.values)}.")
    refuse_unless(_is_count(active_ms) and _is_count(total_ms), "bad_time", "active_ms and total_ms are numbers of milliseconds.")
    return Ending(str(finish_reason), clean_reason(reason, limit=LONGEST_REASON), active_ms, total_ms)


def clean_reason(reason: str, *, limit: int) -> str:
    """Return the reason as it is stored. Raises BadSubmission if it is too long or cannot be stored."""
    refuse_unless(len(reason) <= limit, "too_long", f"The reason has {len(reason):,} characters; at most {limit:,} fit.")
    try:
        return clean_text(reason)
    except BadText as error:
        raise BadSubmission("bad_text", f"The reason cannot be stored: {error}.") from error


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= LARGEST


# --- whole solutions (phase 2 of the paper) -----------------------------------------------------------------------------


def rated_to_first_mistake(ratings: list[Rating], end: Ending, *, n_steps: int, shown: Mapping[int, Sequence[Completion]] | None) -> Work:
    """Check a sitting on a whole solution: steps in order up to the first negative, and there the alternatives.

    ratings: well formed; shown: by step, the alternatives to rate if the mistake is there; None: this project asks for none.
    """
    own, more = [one for one in ratings if one.get("position") == 0], [one for one in ratings if one.get("position") != 0]
    if more and shown is None:
        number, position = more[0]["step"] + 1, more[0].get("position")
        refuse_unless(position is None, "unknown_step", f"Step {number} has no alternative {position}.")
        raise BadSubmission("not_asked", "This project asks for no steps of your own.")
    for place, one in enumerate(own):
        refuse_unless(
            one["step"] == place, "unrated_step", f"Step {place + 1} has no rating, but a later one has. Rate the steps in order."
        )
        refuse_unless(
            one["rating"] is not None or one["flagged"], "unrated_step", f"Step {place + 1} has no rating. Rate it, or flag it as unsure."
        )
        refuse_unless(
            place == 0 or own[place - 1]["rating"] != -1,
            "rating_after_negative",
            f"Step {place} is rated negative, so step {place + 1} and later ones stay unrated.",
        )
    refuse_unless(not any("chosen" in one for one in own + more), "not_asked", "In this project no step is chosen: solutions are whole.")
    last, found_error = len(own) - 1, bool(own) and own[-1]["rating"] == -1
    match end.finish_reason:
        case FinishReason.SOLUTION:
            refuse_unless(bool(own), "empty", "Nothing is rated yet. Rate the steps in order.")
            refuse_unless(not found_error, "bad_finish_reason", "A step is rated negative, so this sitting ends with found_error.")
            refuse_unless(len(own) == n_steps, "unfinished", f"{len(own)} of {n_steps} steps are rated. Rate them to the end.")
        case FinishReason.FOUND_ERROR:
            refuse_unless(bool(own), "empty", "Nothing is rated yet. Rate the steps in order.")
            refuse_unless(found_error, "no_negative", "No step is rated negative, so no mistake was found. Rate on, or to the end.")
        case _:  # bad_problem and give_up may come after any number of ratings
            _refuse_without_reason(end)
    labels = [
        Label(
            step,
            0,
            one["rating"],
            one["flagged"] or None,  # published records know null and true at a solution's own step, never false
            one["ms"],
            # An unsure step without a rating was gone past, unless the sitting was broken off right there.
            chosen=one["rating"] != -1 and (one["rating"] is not None or step < last or end.finish_reason == FinishReason.SOLUTION),
            shown_at=0,
        )
        for step, one in enumerate(own)
    ]
    places = {one.position: place for place, one in enumerate((shown or {}).get(last, ()), 1)}
    for one in more:
        number, position = one["step"] + 1, one.get("position")
        refuse_unless(
            found_error and one["step"] == last,
            "not_at_mistake",
            f"Step {number} is not the first mistake: only that one has alternatives.",
        )
        if position is None:
            labels.append(Label(last, None, None, False, one["ms"], chosen=False, shown_at=None, text=one["text"]))
            continue
        refuse_unless(position in places, "unknown_step", f"Step {number} has no alternative {position}.")
        refuse_unless(
            one["rating"] is not None or one["flagged"],
            "unrated_step",
            f"Alternative {places[position]} of step {number} has no rating. Rate it, or flag it as unsure.",
        )
        labels.append(Label(last, position, one["rating"], one["flagged"], one["ms"], chosen=False, shown_at=places[position]))
    return Work(ratings, end, labels)


def _refuse_without_reason(end: Ending) -> None:
    refuse_unless(bool(end.reason.strip()), "no_reason", "Say in a few words why.")


# --- step by step (phase 1) ---------------------------------------------------------------------------------------------


def walked(ratings: list[Rating], end: Ending, *, tree: Tree) -> Work:
    """Check a sitting that walked through a tree of completions: at each step all rated, one positive chosen or one written.

    ratings: well formed. Who breaks off leaves the last step as it is; what was not rated there is stored without a rating, as in
    the published records.
    """
    refuse_unless(
        end.finish_reason != FinishReason.FOUND_ERROR, "bad_finish_reason", "Here a mistake ends nothing: go on from a better step."
    )
    breaks_off = end.finish_reason != FinishReason.SOLUTION
    if breaks_off:
        _refuse_without_reason(end)
    path: list[str] = []
    labels: list[Label] = []
    has_ended = False
    by_step = [(step, list(group)) for step, group in groupby(ratings, key=lambda one: one["step"])]
    for place, (step, group) in enumerate(by_step):
        number = place + 1
        refuse_unless(step == place, "unrated_step", f"Step {number} has no rating, but a later one has. Rate the steps in order.")
        refuse_unless(not has_ended, "after_answer", f"Step {place} ends the solution: nothing comes after it.")
        shown = tree.after(path)
        rated = {one["position"]: one for one in group if "text" not in one}
        written = next((one for one in group if "text" in one), None)
        chosen = [one for one in rated.values() if "chosen" in one]
        for position in rated:
            refuse_unless(
                any(one.position == position for one in shown), "unknown_step", f"Step {number} has no completion {position} on this path."
            )
        refuse_unless(
            len(chosen) + bool(written) <= 1, "two_chosen", f"Step {number}: a solution goes on from one text, chosen or written, not two."
        )
        refuse_unless(
            all(one["rating"] == 1 for one in chosen),
            "chosen_not_positive",
            f"Step {number}: only a step rated positive can be gone on from.",
        )
        goes_on = bool(chosen) or bool(written)
        refuse_unless(
            goes_on or breaks_off and place == len(by_step) - 1,
            "nothing_chosen",
            f"Step {number}: choose the completion to go on from, or write the step yourself.",
        )
        # Where the generator failed, the page had nothing to rate when the step was written.
        if goes_on and not (written and not rated and tree.is_generated):
            _refuse_unrated(shown, rated, number)
        labels += _labels_of(place, shown, rated, is_abandoned=not goes_on)
        if written:
            labels.append(Label(place, None, None, False, written["ms"], chosen=True, shown_at=None, text=written["text"]))
            path.append(written["text"])
            has_ended = ends_solution(written["text"])
        elif chosen:
            gone_on = next(one for one in shown if one.position == chosen[0]["position"])
            path.append(gone_on.text)
            has_ended = gone_on.is_final
    if not breaks_off:
        refuse_unless(bool(ratings), "empty", "Nothing is rated yet. Rate the completions of the first step.")
        refuse_unless(has_ended, "unfinished", f"Step {len(path)} does not end the solution. Go on until one states the answer.")
    elif not has_ended and len(path) == len(by_step):  # the step before the labeler when they broke off
        labels += _labels_of(len(path), tree.after(path), {}, is_abandoned=True)
    return Work(ratings, end, labels)


def _refuse_unrated(shown: Sequence[Completion], rated: Mapping[int, Rating], number: int) -> None:
    for place, completion in enumerate(shown, 1):
        one = rated.get(completion.position)
        refuse_unless(
            one is not None and (one["rating"] is not None or one["flagged"]),
            "unrated_step",
            f"Completion {place} of step {number} has no rating. Rate it, or flag it as unsure.",
        )


def _labels_of(step: int, shown: Sequence[Completion], rated: Mapping[int, Rating], *, is_abandoned: bool) -> list[Label]:
    unrated = Rating(step=step, rating=None, flagged=False, ms=None)
    return [
        Label(step, one.position, of["rating"], of["flagged"], of["ms"], chosen="chosen" in of, shown_at=place)
        for place, one in enumerate(shown)
        if (of := rated.get(one.position, unrated)) is not unrated or is_abandoned
    ]
