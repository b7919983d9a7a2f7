"""A small simulated world with the labels of its oracle, and a recipe whose models train in a second: the tests are of what is around."""

from pathlib import Path

import pytest
from django.core.management.color import no_style
from django.db import connection

from active_learning import demonstration
from annotation.models import Problem, Project, Solution


@pytest.fixture
def home(settings, tmp_path: Path) -> Path:
    settings.STEPMARK_HOME = tmp_path
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the smallest shape, which serves although it has learned next to nothing: what is tested here is the loop."""
    from active_learning.registry import serving
    from trainer import config

    monkeypatch.setattr(serving, "why_not_better", lambda _: "")

    shape = config.TinyShape(layers=1, width=32, heads=2, feed_forward=64, merges=50)
    monkeypatch.setitem(config.TINY_DEFAULTS, "shape", shape)
    monkeypatch.setitem(config.TINY_DEFAULTS, "epochs", 1)
    monkeypatch.setitem(config.TINY_DEFAULTS, "language_model_epochs", 1)
    monkeypatch.setitem(config.TINY_DEFAULTS, "minimum_updates", 1)  # with 20 of them a phase, half of a round was optimizer steps


@pytest.fixture
def world(db, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(demonstration, "N_PROBLEMS", 12)
    monkeypatch.setattr(demonstration, "N_SOLUTIONS", 4)
    monkeypatch.setattr(demonstration, "N_LABELED", 20)
    monkeypatch.setattr(demonstration, "N_BATCH", 5)
    with connection.cursor() as cursor:  # uniform draws go by keys: the same world whatever ran before
        for statement in connection.ops.sequence_reset_sql(no_style(), [Problem, Solution]):
            cursor.execute(statement)
    return demonstration.make_demonstration()
