"""Stage: opinions. What the reward model that serves says of labeled solutions, for the question whether one more person is asked.

Reads scores; the quality stage decides, and the queue opens the places. Beat calls it every minute.
"""

import logging
from collections.abc import Collection, Mapping
from functools import partial

from celery import current_app
from kombu.exceptions import OperationalError as BrokerUnreachable

from active_learning import registry
from active_learning.models import ModelVersion, Score
from annotation import quality
from annotation.models import Project, Solution
from annotation.redundancy import ModelVerdict, Thresholds

log = logging.getLogger(__name__)


def ask_everywhere() -> dict[str, int]:
    """Ask one more person wherever a project wants it. Return how many were asked, by project; projects without any are left out."""
    wanting = Project.objects.filter(redundancy_limit__isnull=False, archived_at=None).order_by("pk")
    return {project.slug: count for project in wanting if (count := ask(project))}


def ask(project: Project, *, everything: bool = False) -> int:
    """Ask one more person wherever a project wants it. Return how many were asked. `everything`: look at old labels, too."""
    return quality.ask_for_opinions(project, judge_of(project), everything=everything)


def judge_of(project: Project) -> quality.Judge | None:
    """Return the process reward model that serves, as the quality stage asks it. None: no model serves."""
    version = registry.serving_version(project)
    return quality.Judge(f"PRM {version.number}", partial(_verdicts, version)) if version else None


def previewed(project: Project, thresholds: Thresholds) -> quality.Preview | None:
    """Return what thresholds would have asked for in the past month. None: a worker counts it, and has not ended."""
    month, is_old = quality.month_of(project, judge_of(project))
    if is_old:
        try:
            current_app.send_task("active_learning.tasks.count_month", [project.pk], ignore_result=True, expires=60)
        except (BrokerUnreachable, OSError) as error:
            log.warning("No worker can be asked to count the past month of %s (%s).", project.slug, error)
    return quality.preview(month, thresholds) if month else None


def count_month(project_id: int) -> None:
    """Count the labels of the past month of a large project, for its page."""
    if project := Project.objects.filter(pk=project_id).first():
        quality.store_month(project, judge_of(project))


def wanted_in_vain(project: Project, solution: Solution) -> str:
    """Say why one more person is wanted for a solution if nobody is left who can take it. Empty: nobody is wanted, or somebody is left."""
    return quality.wanted_in_vain(project, solution, judge_of(project))


def _verdicts(version: ModelVersion, solutions: Collection[int]) -> Mapping[int, ModelVerdict]:
    rows = Score.objects.filter(model_version=version, solution__in=list(solutions))
    return {key: ModelVerdict(weak, score) for key, weak, score in rows.values_list("solution", "first_weak_step", "score")}
