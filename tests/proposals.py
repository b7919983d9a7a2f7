"""The pages of rounds without a browser, and a round that waits for a review."""

from typing import Any

from django.test import Client
from django.urls import reverse

from active_learning.models import ModelVersion, Round
from annotation.models import Project
from tests import make


def path(name: str, *more: int) -> str:
    return reverse(name, args=["sums", *more])


def page(client: Client, name: str, *more: int) -> str:
    answer = client.get(path(name, *more))
    assert answer.status_code == 200
    return answer.content.decode()


def proposed(project: Project, n: int = 3, **fields: Any) -> Round:
    version = ModelVersion.objects.filter(project=project, number=1).first() or make.version(project, 1, champion=True)
    chosen = {"share_wrong": 1.0, "share_right": 0.0, "mean_score": 0.875, "expected_share_with_mistake": 0.125}
    uniform = {"share_wrong": 0.4, "share_right": 0.6, "mean_score": None, "expected_share_with_mistake": 0.55}
    counts = {"n_solutions": n, "n_problems": 2}
    mix = {"chosen": counts | chosen, "uniform": counts | uniform}
    findings = {"chosen_with": 1, "mix": mix, **fields.pop("findings", {})}
    solutions = {"convincing": make.solutions(project, n)}
    return make.round_of(project, solutions, state="proposed", model_version=version, plan={"review": True}, findings=findings, **fields)
