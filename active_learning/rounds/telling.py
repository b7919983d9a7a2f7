"""What pages and commands ask about rounds, and the workers' heartbeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from active_learning import registry
from active_learning.models import WORKER_SILENT, Round, RoundState, Score, Selection, Worker
from active_learning.rounds.plan import findings_of, plan_of, recipe_followed
from active_learning.rounds.states import NoSuchRound
from active_learning.selection import STRATEGIES
from annotation.models import Project, Task
from trainer.counting import counted


def published(project: Project, *, generation: int | None = None) -> list[Round]:
    """Return the rounds that published a batch, oldest first; or the one of that generation. Raises NoSuchRound."""
    batches = Round.objects.select_related("project").filter(project=project, batch__isnull=False).order_by("pk")
    if generation is not None and not (batches := batches.filter(generation=generation)):
        raise NoSuchRound(f"No round of generation {generation} of {project.slug} has published a batch.")
    return list(batches)


def any_published(project: Project) -> bool:
    """Return whether any round of the project has published a batch."""
    return Round.objects.filter(project=project, state=RoundState.PUBLISHED).exists()


def describe(round_: Round) -> list[str]:
    """Return in a few lines the result of a round: a model, a proposal, a batch."""
    lines, plan, findings = [], plan_of(round_), findings_of(round_)
    if version := round_.model_version:
        lines.append(f"{version.kind.upper()} model {version.number} ({version.base}): {registry.metrics_line(version.metrics)}.")
        lines.extend(registry.cautions_of(version))
        serves = "It serves now." if version.champion else "It waits for a person."
        lines.append(f"{version.decision.get('reason', '')} {serves}".strip())
        if n_scored := Score.objects.filter(model_version=version).count():
            lines.append(f"Scored {counted(n_scored, 'solution')}.")
        if (number := findings.chosen_with) and number != version.number:
            lines.append(f"Chose with model {number}, which still serves.")
    recipe = recipe_followed(plan, findings)
    if not recipe:
        return lines
    mix = recipe.parts
    parts = "; ".join(f"{weight:.0%} {STRATEGIES[name].picks}" if len(mix) > 1 else STRATEGIES[name].picks for name, weight in mix)
    if round_.batch_id:
        lines.append(
            f"Published batch {round_.generation}: {counted(Task.objects.filter(batch=round_.batch_id).count(), 'solution')}, {parts}."
        )
    elif round_.state == RoundState.PROPOSED:
        n_chosen = Selection.objects.filter(round=round_).count()
        lines.append(f"Proposed {counted(n_chosen, 'solution')}, {parts}. Review and publish them on the project's page Rounds.")
    if findings.switch:
        lines.append(findings.switch["sentence"])
    if findings.unreadable:
        lines.append(findings.unreadable)
    if findings.at_random:
        lines.append(findings.at_random)
    if findings.short:
        lines.append(findings.short)
    return lines


BEAT = "beat"  # stands in the place of a worker's queues


@dataclass(frozen=True)
class LifeSign:
    """A worker or beat: its queues, and the seconds since its last heartbeat by the database's clock."""

    name: str
    queues: list[str]
    seconds: float

    @property
    def is_fresh(self) -> bool:
        return self.seconds < WORKER_SILENT.total_seconds()


def life_signs() -> list[LifeSign]:
    """Return the last life sign of each worker and of beat."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, queues, extract(epoch FROM now() - heartbeat_at)::float FROM active_learning_worker ORDER BY name")
        return [LifeSign(name, queues.split(","), max(0.0, seconds)) for name, queues, seconds in cursor.fetchall()]


def why_silent(signs: Sequence[LifeSign], queue: str) -> str:
    """Return why nobody does the work of a queue, or beat's, in a sentence; empty if somebody does."""
    those = [sign for sign in signs if queue in sign.queues]
    if any(sign.is_fresh for sign in those):
        return ""
    seconds = min((sign.seconds for sign in those), default=None)
    return "It has never reported, or not for a day." if seconds is None else f"It last reported {seconds:,.0f} s ago."


def say_alive(name: str, *, queues: str) -> None:
    """Record a worker's heartbeat, and delete the workers without one for a day."""
    Worker.objects.update_or_create(name=name, defaults={"queues": queues, "heartbeat_at": Now()})
    Worker.objects.filter(heartbeat_at__lt=Now() - timedelta(days=1)).delete()
