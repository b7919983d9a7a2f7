"""Stage: export, the writer of PRM800K records. Reads the annotations of a snapshot and writes a JSON line for each, exactly as in the
published dataset: order of the keys, absent keys of phase 1, nulls, timestamps without a zone. docs/formats.md explains each field.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from django.conf import settings
from django.db import OperationalError, connection, transaction

from annotation.eligibility import Adjudications
from annotation.export.snapshots import HELD, PROBED, choose, record, streamed
from annotation.ingest import BadFile, Progress
from annotation.models import Annotation, BatchKind, FinishReason, Project, Snapshot, Split, TaskKind
from trainer.files import is_disk_full, write_file

_RECORD = f"""
SELECT m.export_uuid::text, a.created_at AT TIME ZONE 'UTC', a.finish_reason, a.total_ms,
       -- Records of phase 1 have no generation. Records from a file keep their own phase in every project.
       CASE WHEN project.step_source = 'solution' OR b.kind IN ('imported', 'imported_gold') THEN b.generation END, b.kind, t.kind,
       t.verifier_score,
       t.imported_question::text, p.statement, p.reference_solution, p.answer, s.steps::text, s.final_answer,
       (SELECT json_agg(json_build_array(l.step_index, l.position, l.rating, l.flagged, l.chosen, l.shown_at, alt.text,
                                         alt.author_id IS NOT NULL)
                        ORDER BY l.step_index, l.shown_at, l.position)
          FROM annotation_steplabel l
          LEFT JOIN annotation_stepalternative alt
            ON l.position > 0 AND alt.solution_id = s.id AND alt.step_index = l.step_index AND alt.position = l.position
         WHERE l.annotation_id = a.id)::text
  FROM {{held}} {PROBED}
  LEFT JOIN LATERAL (SELECT export_uuid FROM annotation_membership
                      WHERE project_id = p.project_id AND user_id = a.labeler_id OFFSET 0) m ON true
 ORDER BY held.annotation_id
"""
_OF_SNAPSHOT = _RECORD.format(held=HELD)
_OF_ONE = _RECORD.format(held="(SELECT %s::bigint AS annotation_id) held")

ANSWER = "# Answer\n\n"  # before the answer, in the last step


def write_prm800k(snapshot: Snapshot, out: BinaryIO, progress: Progress | None = None) -> int:
    """Write the annotations of a snapshot as PRM800K records, oldest first; return how many.

    A server-side cursor streams them, so memory does not grow. `progress(stage, done, total)` is called every 500 records.
    """
    count = 0
    with transaction.atomic():
        for row in streamed(_OF_SNAPSHOT, [snapshot.pk]):
            out.write(orjson.dumps(_line(*row), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
            if progress and count % 500 == 0:
                progress("exporting", count, snapshot.count)
    if progress:
        progress("exporting", count, snapshot.count)
    return count


def prm800k_record(annotation: Annotation) -> dict[str, Any]:
    """Return one annotation as the record that an export would write."""
    with connection.cursor() as cursor:
        return _line(*cursor.execute(_OF_ONE, [annotation.pk]).fetchone())


def export_prm800k(
    project: Project,
    out_path: Path | str,
    *,
    splits: tuple[str, ...] = (Split.TRAIN,),
    newcomers: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Snapshot:
    """Take a snapshot and write it to a file; return the snapshot with the file's sha256. The project says what becomes of adjudications.

    Without `newcomers` the screening answers of people who are not admitted are left out. The file is there whole or not at all; an
    existing one is replaced only with `overwrite`. Raises OutputRefused, and BadFile if the writing fails: then there is no snapshot
    either.
    """
    path, home = Path(out_path).absolute(), Path(settings.STEPMARK_HOME).absolute()
    try:
        # The file gets its name before the rows are committed. A kill between the two leaves a whole file that no snapshot names.
        with transaction.atomic(), write_file(path, overwrite=overwrite) as out:
            snapshot = choose(project, splits=splits, newcomers=newcomers, adjudications=Adjudications(project.adjudications))
            write_prm800k(snapshot, out, progress)
            out.seek(0)
            sha256 = hashlib.file_digest(out, "sha256").hexdigest()
            return record(snapshot, file=str(path.relative_to(home)) if path.is_relative_to(home) else "", sha256=sha256)
    except OSError as error:
        raise BadFile(
            path, None, f"cannot be written ({error.strerror})", "Name a file in a folder that exists, is yours and has room"
        ) from error
    except OperationalError as error:
        if not is_disk_full(error):
            raise
        raise BadFile(
            path, None, "cannot be written (the disk of the database is full)", "Free some space there and export again"
        ) from error


def _line(
    labeler: str,
    at: datetime,
    finish_reason: str,
    total_ms: int | None,
    generation: int | None,
    batch: str,
    task: str,
    score: float | None,
    imported: str | None,
    statement: str,
    reference_solution: str | None,
    answer: str | None,
    steps: str,
    final_answer: str | None,
    labels: str | None,
) -> dict[str, Any]:
    texts: list[str] = orjson.loads(steps)
    if batch == BatchKind.SCREENING:
        generation = -1  # another attempt has other questions, in batches of lower generations
    # A published screening record has no ground truth. The question of an imported record goes before the values of the problem.
    hidden = batch == BatchKind.SCREENING
    truth = {"ground_truth_solution": None if hidden else reference_solution, "ground_truth_answer": None if hidden else answer}
    truth |= orjson.loads(imported or "{}")
    question: dict[str, Any] = {"problem": statement}
    if generation is None:
        question["ground_truth_answer"] = truth["ground_truth_answer"]
    else:
        question |= truth
        question |= {
            "pre_generated_steps": texts,
            "pre_generated_answer": _answer_of(texts, final_answer),
            "pre_generated_verifier_score": score,
        }
    return {
        "labeler": labeler,
        "timestamp": at.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "generation": generation,
        # A decision of a reviewer settles the truth, as quality-control labels do. The format has no other mark. Giving up settles nothing.
        "is_quality_control_question": batch == BatchKind.IMPORTED_GOLD
        or task == TaskKind.GOLD
        or (batch == BatchKind.REVIEW and finish_reason != FinishReason.GIVE_UP),
        "is_initial_screening_question": generation == -1,
        "question": question,
        "label": {"steps": list(_steps(texts, orjson.loads(labels or "[]"))), "total_time": total_ms, "finish_reason": finish_reason},
    }


def _answer_of(texts: list[str], final_answer: str | None) -> str | None:
    """Return the answer as the last step writes it, which is the rule of the published records; else the one that was found elsewhere."""
    return texts[-1].rpartition(ANSWER)[2] if final_answer is not None and ANSWER in texts[-1] else final_answer


def _steps(texts: list[str], labels: list[Any]) -> Iterator[dict[str, Any]]:
    # A labeler who gave up before the first rating leaves one step without completions, as in phase 1: the list of steps is never empty.
    for index in range(labels[-1][0] + 1 if labels else 1):
        completions: list[dict[str, Any]] = []
        human, chosen = None, None
        for _, position, rating, flagged, was_chosen, shown_at, text, by_labeler in (label for label in labels if label[0] == index):
            if position == 0 and shown_at is None:
                continue  # the mark of a step without completions
            completion = {"text": texts[index] if position == 0 else text, "rating": rating}
            if by_labeler and shown_at is None:
                human = {**completion, "source": "human", "flagged": flagged}
            else:
                if was_chosen:
                    chosen = len(completions)
                completions.append({**completion, "flagged": flagged})
        yield {"completions": completions or None, "human_completion": human, "chosen_completion": chosen}
