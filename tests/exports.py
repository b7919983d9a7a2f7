"""For tests of exports: a record of phase 2, a solution with alternatives and labels of a path through it, and the exported lines."""

import io
from uuid import uuid4

from annotation import export, labels, queue
from annotation.export import write_prm800k
from annotation.models import Annotation, Project, StepAlternative
from tests import make
from tests.annotation.test_formats import completion, step
from tests.annotation.test_ingest import KIM

BOTH = ("train", "test")
SUM = ["Add.", "It is 6.", "So 6.\n\n# Answer\n\n6"]
MINE = {"step": 1, "rating": None, "text": "It is 5."}
WALKING = (
    {"step": 0, "rating": -1}, {"step": 0, "position": 1, "rating": 1, "chosen": True},
    {"step": 1, "rating": -1}, {"step": 1, "position": 1, "rating": 0}, {"step": 1, "position": 2, "rating": -1, "flagged": True}, MINE,
    {"step": 2, "rating": -1}, {"step": 2, "text": "So 5.\n\n# Answer\n\n5"},
)  # fmt: skip


def written(project: Project, **options: tuple[str, ...]) -> list[bytes]:
    out = io.BytesIO()
    snapshot = export.take_snapshot(project, **options)
    assert write_prm800k(snapshot, out) == snapshot.count
    return out.getvalue().splitlines()


def label(project: Project, *ratings: int | labels.Rating, finish_reason: str, reason: str = "") -> Annotation:
    """Label the next solution as the browser does: a rating for each step, or a dict with more."""
    ann = make.ann(project)
    lease = queue.lease_next(ann, project=project)
    return labels.submit(
        lease.assignment_id,
        labeler=ann,
        token=lease.token,
        submission_id=uuid4(),
        finish_reason=finish_reason,
        reason=reason,
        ratings=[{"step": index, "rating": one} if isinstance(one, int) else one for index, one in enumerate(ratings)],
        active_ms=4_000,
        total_ms=5_000,
    )


def pre_generated(at: str = "2022-11-22T16:51:29.980606", generation: int = 6, **question: object) -> dict:
    steps = ["Add.", "So 6.\n\n# Answer\n\n6"]
    asked = {"problem": "What is 2 + 3?", "ground_truth_solution": "2 + 3 = 5", "ground_truth_answer": "5", **question}
    return {
        "labeler": KIM,
        "timestamp": at,
        "generation": generation,
        "is_quality_control_question": False,
        "is_initial_screening_question": generation == -1,
        "question": {**asked, "pre_generated_steps": steps, "pre_generated_answer": "6", "pre_generated_verifier_score": 0.5},
        "label": {
            "steps": [step([completion("Add.", 1, None)], chosen=0), step([completion(steps[1], -1, None), completion("So 5.", 1)])],
            "total_time": 9,
            "finish_reason": "found_error",
        },
    }


def with_alternatives(**fields: object) -> Project:
    """A project with one solution of three steps, which has an alternative at its first step and two at its second."""
    project = make.project(**fields)
    solution = make.solution(make.problem(project), SUM, final_answer="6")
    for index, position, text in ((0, 1, "Count."), (1, 1, "Hm."), (1, 2, "It is five.")):
        StepAlternative.objects.create(solution=solution, step_index=index, position=position, text=text)
    make.batch(project, [solution])
    return project
