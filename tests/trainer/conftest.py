"""One trained model for every test that only reads it."""

from pathlib import Path

import pytest

from tests.trainer.sums import small, sums
from trainer.train import TrainedModel, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(sums(200), config=small(), folder=tmp_path_factory.mktemp("trained") / "model", provenance={"snapshot": "7"})


@pytest.fixture
def model_folder(trained: TrainedModel) -> Path:
    return trained.folder
