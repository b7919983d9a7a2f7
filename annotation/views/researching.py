"""The views of a researcher: the labels one by one."""

from typing import TYPE_CHECKING, Any

import orjson
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from annotation import eligibility, export, people
from annotation.views import SignedInRequest, for_roles, read_key

if TYPE_CHECKING:
    from annotation.models import Project


ENDS = {"": "all", "found_error": "mistake found", "solution": "no mistakes", "give_up": "gave up", "bad_problem": "bad problem"}
WORDS = {-1: "negative", 0: "neutral", 1: "positive", None: "not rated"}


@require_GET
@for_roles(people.RESEARCHERS)
def annotations(request: SignedInRequest, project: "Project") -> HttpResponse:
    """List the annotations, the newest first."""
    finish_reason, before = request.GET.get("finish", ""), request.GET.get("before", "")
    by = request.GET.get("by", "").replace("\0", "")
    rows, older = export.annotations_of(project, finish_reason=finish_reason, by=by, before=read_key(before))
    page = {"project": project, "annotations": rows, "before": older, "ends": ENDS.items(), "finish_reason": finish_reason, "by": by}
    marks = {row.mark for row in rows}
    page["effects"] = [(mark, effect) for mark, effect in eligibility.EFFECTS.items() if mark in marks]
    return render(request, "annotation/annotations.html", page)


@require_GET
@for_roles(people.RESEARCHERS)
def annotation(request: SignedInRequest, project: "Project", annotation_id: int) -> HttpResponse:
    """Show one annotation with every completion that the labeler saw, and its exported record."""
    try:
        shown, record = export.shown(project, annotation_id)
    except export.NoSuchAnnotation as error:
        raise Http404(str(error)) from None
    texts = record["question"].get("pre_generated_steps", [])
    # A step that nobody rated stands in the record without completions, such as the first step of a bad problem.
    labeled = {place: step for place, step in enumerate(record["label"]["steps"]) if step["completions"] or step["human_completion"]}
    page = {
        "project": project,
        "annotation": shown,
        "record": record,
        "effect": eligibility.EFFECTS.get(shown.mark, ""),
        "steps": [_step(place, step) for place, step in labeled.items()],
        "unlabeled": [{"number": place + 1, "text": text} for place, text in enumerate(texts) if place not in labeled],
        "line": orjson.dumps(record, option=orjson.OPT_INDENT_2).decode(),
    }
    return render(request, "annotation/annotation.html", page)


def _step(place: int, step: dict[str, Any]) -> dict[str, Any]:
    """Return one step with the rating of each completion in words. Completions that were not chosen are indented (`aside`)."""
    completions = [dict(row) for row in step["completions"] or []]
    for position, completion in enumerate(completions):
        is_chosen = step["chosen_completion"] == position
        completion["aside"] = position > 0 and not is_chosen
        marks = (("unsure", completion["flagged"]), ("chosen", is_chosen and len(completions) > 1))
        completion["words"] = ", ".join([WORDS[completion["rating"]], *(mark for mark, applies in marks if applies)])
    if human := step["human_completion"]:
        completions.append({**human, "aside": False, "words": "written by the labeler"})
    return {"index": place, "number": place + 1, "completions": completions}
