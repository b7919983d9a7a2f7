"""Stage: export, the PRM800K record of an annotation, exactly as in the published dataset: order of the keys, absent keys of phase 1,
nulls, timestamps without a zone. docs/formats.md explains each field.

The database gives most of a record as JSON already (FRAGMENTS), and this module puts the pieces together as bytes: to read the texts as
values and to write them again took three times as long. PostgreSQL and orjson escape a text in the same way.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from django.db import connection

from annotation.eligibility import screening_sql, settling_sql
from annotation.export.snapshots import PROBED
from annotation.models import Annotation

# The end of a solution's last step, as JSON writes it: no other text has these bytes, since JSON writes a backslash as two.
_ANSWER = b"# Answer\\n\\n"
# Between the parts of one column: no JSON text has this character.
_APART = b"\x03"

_IS_SCREENING = screening_sql()  # a published screening record has no ground truth
# Records of phase 1 have no generation. Records from a file keep their own phase in every project. Another attempt at the screening has
# other questions, in batches of lower generations.
_GENERATION = f"""CASE WHEN {_IS_SCREENING} THEN -1
      WHEN project.step_source = 'solution' OR b.kind IN ('imported', 'imported_gold') THEN b.generation END"""


def _truth(name: str, column: str) -> str:
    """Return the SQL of one value of the ground truth, as JSON. The question of an imported record goes before that of the problem."""
    return f"""CASE WHEN t.imported_question ? '{name}' THEN (t.imported_question -> '{name}')::text
           WHEN {_IS_SCREENING} OR {column} IS NULL THEN 'null' ELSE to_json({column})::text END"""


# What stands before `pre_generated_steps`, and after the steps of the label.
_HEAD = f"""concat('{{"labeler":"', m.export_uuid, '","timestamp":"',
      to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
      '","generation":', coalesce(g.generation::text, 'null'),
      -- A decision of a reviewer settles the truth, as quality-control labels do. The format has no other mark. Giving up settles nothing.
      ',"is_quality_control_question":', CASE WHEN b.kind = 'imported_gold' OR t.kind = 'gold'
        OR {settling_sql()} THEN 'true' ELSE 'false' END,
      ',"is_initial_screening_question":', CASE WHEN g.generation = -1 THEN 'true' ELSE 'false' END,
      ',"question":{{"problem":', to_json(p.statement)::text,
      CASE WHEN g.generation IS NOT NULL THEN 
        concat(',"ground_truth_solution":', {_truth("ground_truth_solution", "p.reference_solution")}) END,
      ',"ground_truth_answer":', {_truth("ground_truth_answer", "p.answer")})"""
_TAIL = """concat('],"total_time":', coalesce(a.total_ms::text, 'null'), ',"finish_reason":"', a.finish_reason, '"}}')"""
# Each label as one number in the order of a record, a dot, and what was said of it. json_build_array takes five times as long.
_LABELS = """SELECT string_agg((l.step_index * 4294967296 + coalesce(l.shown_at, 65535) * 65536::bigint + l.position)::text || '.'
                 || (coalesce(l.rating + 1, 3) + CASE l.flagged WHEN true THEN 4 WHEN false THEN 8 ELSE 0 END
                     + CASE WHEN l.chosen THEN 16 ELSE 0 END)::text, ' ') AS packed, max(l.position) AS furthest
  FROM annotation_steplabel l WHERE l.annotation_id = a.id"""
_ALTERNATIVES = """CASE WHEN labels.furthest > 0 THEN (
      SELECT string_agg(concat(alt.step_index, '.', alt.position, CASE WHEN alt.author_id IS NULL THEN 'm' ELSE 'p' END, to_json(alt.text)),
                        E'\\x03')
        FROM annotation_steplabel l
       CROSS JOIN LATERAL (SELECT * FROM annotation_stepalternative
                            WHERE solution_id = s.id AND step_index = l.step_index AND position = l.position OFFSET 0) alt
       WHERE l.annotation_id = a.id AND l.position > 0) END"""
FRAGMENTS = {
    "head": _HEAD,
    "tail": _TAIL,
    "generation": "g.generation",
    "verifier_score": "t.verifier_score",
    "answer": "to_json(s.final_answer)::text",
    "steps": "s.steps::text",
    "labels": "labels.packed",
    "alternatives": _ALTERNATIVES,
}

# What these columns need beside the rows of an annotation (snapshots.PROBED).
JOINED = f"""
 CROSS JOIN LATERAL (SELECT {_GENERATION} AS generation) g
 CROSS JOIN LATERAL ({_LABELS} OFFSET 0) labels
  LEFT JOIN LATERAL (SELECT export_uuid FROM annotation_membership
                      WHERE project_id = p.project_id AND user_id = a.labeler_id OFFSET 0) m ON true
"""
_OF_ONE = f"SELECT {', '.join(FRAGMENTS.values())} FROM (SELECT %s::bigint AS annotation_id) held {PROBED} {JOINED}"

_BEFORE_TEXT = b'{"completions":[{"text":"'
_RATINGS, _FLAGS = (b"-1", b"0", b"1", b"null"), (b"null", b"true", b"false")


class _Shown(NamedTuple):
    """One label: which text it is about, and what was said of it."""

    step_index: int
    position: int
    is_shown: bool  # else the labeler wrote it
    rating: int  # an index of _RATINGS
    flag: int  # an index of _FLAGS
    is_chosen: bool

    @property
    def end(self) -> bytes:
        """What a record has after the text."""
        return b',"rating":%b,"flagged":%b}' % (_RATINGS[self.rating], _FLAGS[self.flag])


class _Pattern(NamedTuple):
    """What is equal in all records whose labels differ in nothing but the texts."""

    ratings: tuple[int, int, int, int]  # how many of -1, 0, 1, null
    # Around the texts of the solution's own steps, if each step has one completion. This is so in most records.
    around: tuple[bytes, ...] | None
    labels: tuple[_Shown, ...]


@lru_cache(maxsize=10_000)
def _pattern(packed: bytes) -> _Pattern:
    labels = []
    for place, code in sorted((int(place), int(code)) for place, code in (word.split(b".") for word in packed.split())):
        shown_at = (place >> 16) & 0xFFFF
        labels.append(_Shown(place >> 32, place & 0xFFFF, shown_at != 0xFFFF, code & 3, (code >> 2) & 3, bool(code & 16)))
    counts = [0, 0, 0, 0]
    for label in labels:
        counts[label.rating] += label.is_shown
    around: tuple[bytes, ...] | None = None
    if all(label[:3] == (index, 0, True) for index, label in enumerate(labels)) and labels:
        ends = [
            b'"%b],"human_completion":null,"chosen_completion":%b}' % (label.end, b"0" if label.is_chosen else b"null") for label in labels
        ]
        around = (_BEFORE_TEXT, *(end + b"," + _BEFORE_TEXT for end in ends[:-1]), ends[-1])
    return _Pattern((counts[0], counts[1], counts[2], counts[3]), around, tuple(labels))


def ratings_of(packed: bytes) -> tuple[int, int, int, int]:
    """Return how many texts with these labels are rated -1, 0 and 1, and how many that were shown are not rated."""
    return _pattern(packed).ratings


def prm800k_record(annotation: Annotation) -> dict[str, Any]:
    """Return one annotation as the record that an export would write."""
    with connection.cursor() as cursor:
        row = cursor.execute(_OF_ONE, [annotation.pk]).fetchone()
    columns = [b"" if value is None else str(value).encode() for value in row]
    record: dict[str, Any] = orjson.loads(prm800k_line(*columns))
    return record


def prm800k_line(
    head: bytes, tail: bytes, generation: bytes, verifier_score: bytes, answer: bytes, steps: bytes, labels: bytes, alternatives: bytes
) -> bytes:
    """Return one record as JSON without a line end. The arguments are the columns of FRAGMENTS as text; null is empty."""
    # The steps are an array of texts: ["..", ".."]. If a text ends as the end of a text looks, the array is read as values.
    is_plain = b'\\", "' not in steps
    texts = steps[2:-2].split(b'", "') if is_plain else [orjson.dumps(text)[1:-1] for text in orjson.loads(steps)]
    pieces = [head]
    if generation:
        pieces += (
            b',"pre_generated_steps":["', b'","'.join(texts), b'"],"pre_generated_answer":', _answer_of(texts[-1], answer),
            b',"pre_generated_verifier_score":', orjson.dumps(float(verifier_score)) if verifier_score else b"null",
        )  # fmt: skip
    pieces.append(b'},"label":{"steps":[')
    pattern = _pattern(labels)
    if pattern.around and len(pattern.around) <= len(texts) + 1:
        interleaved = [b""] * (2 * len(pattern.around) - 1)
        interleaved[0::2] = pattern.around
        interleaved[1::2] = texts[: len(pattern.around) - 1]
        pieces += interleaved
    else:
        pieces.append(b",".join(_steps(texts, pattern.labels, alternatives)))
    pieces.append(tail)
    return b"".join(pieces)


def _answer_of(last_step: bytes, answer: bytes) -> bytes:
    """Return the answer as the last step writes it, which is the rule of the published records; else the one that was found elsewhere."""
    if not answer:
        return b"null"
    _, mark, written = last_step.rpartition(_ANSWER)
    return b'"%b"' % written if mark else answer


def _steps(texts: list[bytes], labels: tuple[_Shown, ...], alternatives: bytes) -> Iterator[bytes]:
    others: dict[tuple[int, int], tuple[bytes, bool]] = {}  # by step and position: the text with its quotes, and whether a person wrote it
    for alternative in alternatives.split(_APART) if alternatives else ():
        place, quote, text = alternative.partition(b'"')
        step, position = place[:-1].split(b".")
        others[int(step), int(position)] = quote + text, place.endswith(b"p")
    # A labeler who gave up before the first rating leaves one step without completions, as in phase 1: the list of steps is never empty.
    for index in range(labels[-1].step_index + 1 if labels else 1):
        completions: list[bytes] = []
        human, chosen = b"null", b"null"
        for label in (label for label in labels if label.step_index == index):
            if label.position == 0 and not label.is_shown:
                continue  # the mark of a step without completions
            text, is_by_person = (
                (b'"%b"' % texts[index], False) if label.position == 0 else others.get((index, label.position), (b"null", False))
            )
            if is_by_person and not label.is_shown:
                human = b'{"text":%b,"rating":%b,"source":"human","flagged":%b}' % (text, _RATINGS[label.rating], _FLAGS[label.flag])
            else:
                if label.is_chosen:
                    chosen = b"%d" % len(completions)
                completions.append(b'{"text":%b%b' % (text, label.end))
        shown = b"[%b]" % b",".join(completions) if completions else b"null"
        yield b'{"completions":%b,"human_completion":%b,"chosen_completion":%b}' % (shown, human, chosen)
