"""Three solutions about Janet's ducks, and Ann before the first of them."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Project
from tests import make
from tests.ducks import duck_project

Visit = Callable[..., Page]


@pytest.fixture
def project() -> Project:
    return duck_project()


@pytest.fixture
def ann(project: Project, visit: Visit) -> Page:
    page = visit(make.ann(project), "/p/gsm8k/label/")
    expect(page.locator("[data-step='0']")).to_be_focused()
    return page
