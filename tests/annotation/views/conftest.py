"""Three solutions to label, and Ann who labels them."""

import pytest
from django.test import Client

from annotation.models import Project
from tests import make
from tests.clients import signed_in


@pytest.fixture
def project() -> Project:
    made = make.project()
    make.batch(made, make.solutions(made, 3))
    return made


@pytest.fixture
def ann(project: Project) -> Client:
    return signed_in(make.ann(project))
