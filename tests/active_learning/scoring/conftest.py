"""A model that was trained once, and a project of five solutions for it to score, in shards of four."""

from pathlib import Path

import pytest

from active_learning.models import ModelVersion
from active_learning.scoring import shards
from annotation.models import Project
from tests import make
from tests.scorings import version_of
from tests.trainer.sums import small, sums
from trainer.config import TinyShape
from trainer.train import train

SHAPE = TinyShape(layers=1, width=16, heads=2, feed_forward=32, merges=20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = small(shape=SHAPE, epochs=2, language_model_epochs=0, uncertainty_heads=4)
    return train(sums(12), config=recipe, folder=tmp_path_factory.mktemp("scorer") / "model", provenance={}).folder


@pytest.fixture
def project(home: Path) -> Project:
    project = make.project()
    for one in sums(5, seed=3):
        make.solution(make.problem(project), list(one.solution.steps))
    return project


@pytest.fixture
def version(project: Project, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    monkeypatch.setattr(shards, "SHARD", 4)
    monkeypatch.setattr(shards, "POLL_SECONDS", 0.01)
    return version_of(project, home, folder)
