"""One trained model for every test that only reads it, and what the tests of sampling draw from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.drawing import Endpoint, save_chain, serving
from tests.trainer.sums import small, sums
from trainer.train import TrainedModel, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(sums(200), config=small(seed=1), folder=tmp_path_factory.mktemp("trained") / "model", provenance={"snapshot": "7"})


@pytest.fixture
def model_folder(trained: TrainedModel) -> Path:
    return trained.folder


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    yield from serving(monkeypatch)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("chain") / "adder")
