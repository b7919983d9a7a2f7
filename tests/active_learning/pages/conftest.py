"""A project without a broker, its owner and a researcher of it."""

from pathlib import Path

import pytest
from django.test import Client

from annotation.models import Project
from tests import make
from tests.clients import signed_in


@pytest.fixture
def project(db: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr("celery.app.base.Celery.send_task", lambda *_, **__: None)
    return make.project()


@pytest.fixture
def olga(project: Project) -> Client:
    return signed_in(make.olga(project))


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))
