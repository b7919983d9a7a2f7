"""Settings, audit and deletion of a project in a real browser: each state is accessible and fits, by mouse and by keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotation import corrections, projects, queue
from annotation.models import Project, Regrade
from tests import make
from tests.e2e.test_first_minute import check

pytestmark = pytest.mark.django_db(transaction=True)
Visit = Callable[..., Page]
LONG = "A project with a very long name, such as a laboratory writes " * 3


def test_settings_are_changed_after_a_look_at_what_changes(visit: Visit, look: dict) -> None:
    project = make.project("sums", name=LONG, guidelines="## Rate\n\n- *each*")
    make.batch(project, make.solutions(project, 2))
    queue.lease_next(make.ann(project), project=project)
    page = visit(make.olga(project), "/p/sums/settings/", **look)
    check(page, "settings")
    page.get_by_label("Time for one solution").fill("0")
    page.get_by_label("Screening questions").fill("many")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was stored.")
    check(page, "settings-refused")
    page.get_by_label("Time for one solution").fill("45")
    page.get_by_label("Screening questions").fill("30")
    page.keyboard.press("Enter")
    plan = page.get_by_role("region", name="What changes")
    expect(plan).to_contain_text("The time for one solution changes from 30 minutes to 45 minutes.")
    expect(plan).to_contain_text("1 solution in work keeps its end.")
    check(page, "settings-plan")
    expect(page.get_by_role("button", name="Save these changes")).to_be_focused()
    version = projects.version_of(project)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The settings are saved.")
    check(page, "settings-saved")
    project.refresh_from_db()
    assert (project.lease_minutes, project.guidelines) == (45, "## Rate\n\n- *each*") and version != projects.version_of(project)

    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    check(page, "settings-regrade-waits")
    corrections.run_regrade(Regrade.objects.get().pk)
    expect(page.get_by_text("2 solutions to grade again.")).to_be_visible()  # the part asks again by itself
    check(page, "settings-regrade-looked")
    page.get_by_role("button", name="Make these changes").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    corrections.run_regrade(Regrade.objects.latest("pk").pk)
    expect(page.get_by_text("Last done")).to_be_visible()
    check(page, "settings-regrade-done")

    page.get_by_label("Overlap").fill("2")
    projects.change_settings(project, {"per_problem": 5}, version=projects.version_of(project), actor=make.olga())
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("olga changed the settings")
    check(page, "settings-meanwhile")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Archive the project").click()
    expect(page.get_by_text("This project is archived since")).to_be_visible()
    check(page, "settings-archived")
    page.get_by_role("button", name="Open the project again").click()
    expect(page.get_by_role("status").first).to_contain_text("is open again")

    page.get_by_role("link", name="Who did what").first.click()
    expect(page.get_by_role("row")).to_have_count(7)
    check(page, "audit")
    page.get_by_label("What").select_option("archive")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Object").fill("nothing 1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    check(page, "audit-nothing")
    page.goto(page.url.partition("?")[0] + "?verb=fly")
    expect(page.get_by_text("Nobody ever did that.")).to_be_visible()
    check(page, "audit-refused")


def test_a_project_without_labels_is_deleted_by_its_name(visit: Visit, look: dict) -> None:
    project = make.project("sums", name="Sums")
    make.batch(project, make.solutions(project, 2))
    page = visit(make.olga(project), "/p/sums/settings/", **look)
    page.get_by_role("link", name="Delete the project").click()
    expect(page.get_by_text("This deletes 2 problems, 2 solutions, 1 batch")).to_be_visible()
    check(page, "delete")
    page.get_by_label("Name of the project").fill("Products")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This is not the name of the project.")).to_be_visible()
    check(page, "delete-refused")
    page.get_by_label("Name of the project").fill("Sums")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The project Sums is deleted.")
    assert not Project.objects.exists()
