"""Contains all the data models used in inputs/outputs"""

from .annotation import Annotation
from .batch import Batch
from .batches_list_kind import BatchesListKind
from .batches_list_state import BatchesListState
from .changes import Changes
from .consensus import Consensus
from .exported_file import ExportedFile
from .fault import Fault
from .gold_share import GoldShare
from .job import Job
from .job_score import JobScore
from .job_text import JobText
from .loaded import Loaded
from .loaded_outcomes import LoadedOutcomes
from .me import Me
from .member import Member
from .model import Model
from .model_detail import ModelDetail
from .model_detail_config import ModelDetailConfig
from .model_detail_metrics import ModelDetailMetrics
from .model_detail_progress import ModelDetailProgress
from .model_progress import ModelProgress
from .models_list_kind import ModelsListKind
from .models_list_state import ModelsListState
from .new_export import NewExport
from .new_export_options import NewExportOptions
from .new_job import NewJob
from .new_round import NewRound
from .new_webhook import NewWebhook
from .order import Order
from .order_filter_type_0 import OrderFilterType0
from .order_options import OrderOptions
from .order_progress import OrderProgress
from .order_shares_type_0 import OrderSharesType0
from .page_of_annotation import PageOfAnnotation
from .page_of_batch import PageOfBatch
from .page_of_consensus import PageOfConsensus
from .page_of_job import PageOfJob
from .page_of_job_score import PageOfJobScore
from .page_of_member import PageOfMember
from .page_of_model import PageOfModel
from .page_of_order import PageOfOrder
from .page_of_problem import PageOfProblem
from .page_of_project import PageOfProject
from .page_of_round import PageOfRound
from .page_of_score import PageOfScore
from .page_of_snapshot import PageOfSnapshot
from .page_of_solution import PageOfSolution
from .page_of_webhook import PageOfWebhook
from .page_of_webhook_delivery import PageOfWebhookDelivery
from .problem import Problem
from .problem_document import ProblemDocument
from .problem_line import ProblemLine
from .problems_list_split import ProblemsListSplit
from .problems_load_wrong import ProblemsLoadWrong
from .project import Project
from .project_detail import ProjectDetail
from .round_ import Round
from .round_progress import RoundProgress
from .rounds_list_state import RoundsListState
from .score import Score
from .score_jobs_list_state import ScoreJobsListState
from .settled_step import SettledStep
from .shares import Shares
from .skipped_line import SkippedLine
from .snapshot import Snapshot
from .snapshot_counts import SnapshotCounts
from .snapshot_file import SnapshotFile
from .snapshot_file_options import SnapshotFileOptions
from .snapshot_filter import SnapshotFilter
from .snapshot_preview import SnapshotPreview
from .snapshot_preview_finish_reasons import SnapshotPreviewFinishReasons
from .snapshot_provenance import SnapshotProvenance
from .snapshot_spec import SnapshotSpec
from .solution import Solution
from .solution_line import SolutionLine
from .solutions_list_outcome import SolutionsListOutcome
from .solutions_list_split import SolutionsListSplit
from .solutions_load_line_format import SolutionsLoadLineFormat
from .solutions_load_steps_by import SolutionsLoadStepsBy
from .solutions_load_wrong import SolutionsLoadWrong
from .stage import Stage
from .step_label import StepLabel
from .step_probabilities import StepProbabilities
from .wanted_webhook import WantedWebhook
from .webhook import Webhook
from .webhook_delivery import WebhookDelivery
from .webhook_number import WebhookNumber
from .webhook_secret import WebhookSecret
from .webhook_switch import WebhookSwitch
from .webhook_try import WebhookTry
from .work import Work

__all__ = (
    "Annotation",
    "Batch",
    "BatchesListKind",
    "BatchesListState",
    "Changes",
    "Consensus",
    "ExportedFile",
    "Fault",
    "GoldShare",
    "Job",
    "JobScore",
    "JobText",
    "Loaded",
    "LoadedOutcomes",
    "Me",
    "Member",
    "Model",
    "ModelDetail",
    "ModelDetailConfig",
    "ModelDetailMetrics",
    "ModelDetailProgress",
    "ModelProgress",
    "ModelsListKind",
    "ModelsListState",
    "NewExport",
    "NewExportOptions",
    "NewJob",
    "NewRound",
    "NewWebhook",
    "Order",
    "OrderFilterType0",
    "OrderOptions",
    "OrderProgress",
    "OrderSharesType0",
    "PageOfAnnotation",
    "PageOfBatch",
    "PageOfConsensus",
    "PageOfJob",
    "PageOfJobScore",
    "PageOfMember",
    "PageOfModel",
    "PageOfOrder",
    "PageOfProblem",
    "PageOfProject",
    "PageOfRound",
    "PageOfScore",
    "PageOfSnapshot",
    "PageOfSolution",
    "PageOfWebhook",
    "PageOfWebhookDelivery",
    "Problem",
    "ProblemDocument",
    "ProblemLine",
    "ProblemsListSplit",
    "ProblemsLoadWrong",
    "Project",
    "ProjectDetail",
    "Round",
    "RoundProgress",
    "RoundsListState",
    "Score",
    "ScoreJobsListState",
    "SettledStep",
    "Shares",
    "SkippedLine",
    "Snapshot",
    "SnapshotCounts",
    "SnapshotFile",
    "SnapshotFileOptions",
    "SnapshotFilter",
    "SnapshotPreview",
    "SnapshotPreviewFinishReasons",
    "SnapshotProvenance",
    "SnapshotSpec",
    "Solution",
    "SolutionLine",
    "SolutionsListOutcome",
    "SolutionsListSplit",
    "SolutionsLoadLineFormat",
    "SolutionsLoadStepsBy",
    "SolutionsLoadWrong",
    "Stage",
    "StepLabel",
    "StepProbabilities",
    "WantedWebhook",
    "Webhook",
    "WebhookDelivery",
    "WebhookNumber",
    "WebhookSecret",
    "WebhookSwitch",
    "WebhookTry",
    "Work",
)
