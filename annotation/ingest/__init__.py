"""Stage: ingest. Reads problems, solutions and labels in public formats. Writes Problem, Solution, imported annotations
and gold."""

from typing import TYPE_CHECKING

from trainer.later import load_later

if TYPE_CHECKING:
    from annotation.ingest.checking import FileCheck, check_file
    from annotation.ingest.loading import STEP_RULES, add_solutions, load_problems, load_solutions, read_mapping, read_problems
    from annotation.ingest.preparing import digest
    from annotation.ingest.projects import BadProject, find_project, rules_of
    from annotation.ingest.reading import (
        ProblemMissing,
        ProblemRow,
        SolutionMissing,
        SolutionRow,
        find_problem,
        find_solution_row,
        problems_of,
        solutions_of,
    )
    from annotation.ingest.staging import LABELS
    from annotation.ingest.updating import read_changes
    from annotation.ingest.upserting import (
        BY_LINE,
        CUTTING_RULES,
        GENERIC,
        LINE_FORMATS,
        BadLines,
        BadMapping,
        LineFault,
        LoadRunning,
        TooManyLines,
        Upserted,
        upsert,
    )
    from annotation.ingest.values import LoadReport, ProblemChange
    from trainer.formats import (
        FILE_MEGABYTES,
        FORMATS,
        STEP_CHARACTERS,
        STEPS,
        BadFile,
        BadLine,
        BadText,
        NewAlternative,
        NewAnnotation,
        NewLabel,
        NewProblem,
        NewSolution,
        Progress,
        clean_text,
        detect_format,
    )
    from trainer.steps import AUTO
else:
    __getattr__ = load_later(__name__)  # each name is loaded when it is used

__all__ = [
    "BY_LINE",
    "CUTTING_RULES",
    "GENERIC",
    "LINE_FORMATS",
    "BadLines",
    "BadMapping",
    "LineFault",
    "LoadRunning",
    "TooManyLines",
    "Upserted",
    "upsert",
    "AUTO",
    "STEP_RULES",
    "FILE_MEGABYTES",
    "STEPS",
    "STEP_CHARACTERS",
    "FORMATS",
    "BadFile",
    "BadLine",
    "BadProject",
    "BadText",
    "FileCheck",
    "LABELS",
    "LoadReport",
    "NewAlternative",
    "NewAnnotation",
    "NewLabel",
    "NewProblem",
    "NewSolution",
    "ProblemMissing",
    "ProblemChange",
    "ProblemRow",
    "Progress",
    "SolutionMissing",
    "SolutionRow",
    "add_solutions",
    "check_file",
    "clean_text",
    "detect_format",
    "digest",
    "find_problem",
    "find_project",
    "find_solution_row",
    "load_problems",
    "read_problems",
    "load_solutions",
    "read_mapping",
    "problems_of",
    "read_changes",
    "rules_of",
    "solutions_of",
]
