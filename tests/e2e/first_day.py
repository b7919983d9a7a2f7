"""A manager's first day on an empty site, in a real browser: what docs/first-day.md tells, and what its pictures show.

`test_first_day.py` lives through it. `script/screenshots` does so too, and keeps the pictures in docs/img.
"""

import argparse
import base64
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from benchmarks.temporary_site import free_port
from tests.e2e import chromium
from tests.labelapp.test_supervisor import Server
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "tests" / "data" / "best_of_n" / "math_cot_sample.jsonl"  # ours; in the format of the public file
PASSWORD = "a good long one"
WINDOW = {"width": 1200, "height": 900}
SIZE, COMPOSED, PRACTICE, SCREENING = 12, 6, 2, 2  # solutions of the first batch, of the composed one, and of what newcomers get first
GUIDELINES = """\
## How to rate

- *Positive*: right, and a step towards the answer.
- *Neutral*: nothing wrong, and no progress.
- *Negative*: the first mistake, such as $3 + 4 = 8$. Rating ends here.
"""
REASON = "Please read the guidelines again, and write to me."
MISTAKE_IN_STEP_2 = ("3", "1")
Shoot = Callable[[Page, str], None]
expect.set_options(timeout=PATIENCE * 1000)


@contextlib.contextmanager
def empty_site(home: Path) -> Iterator[str]:
    """Start script/server in an empty home. Yield the set-up link that it prints."""
    server = Server(home, free_port())
    try:
        yield server.wait_for(r"(http\S+/set-up/\S+)")[1]
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
        server.wait_until_gone()
        server.reader.join(PATIENCE)


class FirstDay:
    """Olga sets up a site, and runs her first project with rolf, ann and ben. Each person has a browser of their own."""

    def __init__(self, browser: Browser, *, link: str, file: Path, shoot: Shoot) -> None:
        self.browser, self.link, self.file, self.shoot = browser, link, file, shoot
        self.faults: list[str] = []
        self.pages: dict[str, Page] = {}
        self.olga = self.page_of("olga")

    def page_of(self, name: str) -> Page:
        """Open a browser for a person."""
        context = self.browser.new_context(viewport=WINDOW, reduced_motion="reduce", color_scheme="light")
        context.set_default_timeout(PATIENCE * 1000)
        page = self.pages[name] = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"{page.url} threw {error}"))
        page.on("console", lambda line: "Content Security Policy" in line.text and self.faults.append(f"{page.url}: {line.text}"))
        page.on("response", lambda answer: answer.status >= 500 and self.faults.append(f"{answer.status} {answer.url}"))
        return page

    def live(self) -> None:
        """Go through the whole day."""
        self.set_up()
        self.make_the_project()
        self.import_the_file()
        self.invite()
        self.publish_the_first_batch()
        self.let_the_reviewer_label()
        self.compose_practice_and_screening()
        self.let_a_newcomer_work()
        self.watch()
        self.pause_somebody()
        self.correct_an_answer()
        self.withdraw_a_solution()
        self.compose_a_round()
        self.close_the_first_batch()
        self.see_who_did_what()
        for page in self.pages.values():
            page.context.close()

    # --- the site and the project -------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make the first account, with the keyboard alone."""
        page = self.olga
        page.goto(self.link)
        expect(page.get_by_label("User name")).to_be_focused()
        for text in ("olga", "Olga Ortiz", PASSWORD, PASSWORD):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        self.shoot(page, "set-up")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="New project")).to_be_visible()

    def make_the_project(self) -> None:
        """Fill the form of a new project, and look at the guidelines as labelers will."""
        page = self.olga
        page.get_by_role("textbox", name="Name", exact=True).fill("Math")
        page.get_by_role("textbox", name="Guidelines").fill(GUIDELINES)
        page.get_by_role("button", name="Show how labelers see them").click()
        expect(page.get_by_role("region", name="Preview of the guidelines").locator(".katex")).to_have_count(1)
        self.shoot(page, "new-project")
        page.get_by_role("button", name="Make the project").click()
        self.expect_message("The project Math is made, and you own it.")

    def import_the_file(self) -> None:
        """Upload the file, see what it holds, and load it. A worker does both."""
        page = self.olga
        page.get_by_label("File", exact=True).set_input_files(self.file)
        page.get_by_role("button", name="Upload and check").click()
        expect(page.get_by_role("heading", name="What the file holds")).to_be_visible()
        expect(page.get_by_role("heading", name="Example 1")).to_be_visible()
        self.shoot(page, "import")
        page.get_by_role("button", name=re.compile(r"^Import [\d,]+ solutions$")).click()
        expect(page.locator("[data-progress] .chip")).to_have_text("loaded")

    # --- people ---------------------------------------------------------------------------------------------------------------------

    def invite(self) -> None:
        """Invite a reviewer and two labelers by link. Each link is opened in the browser of its person."""
        for role, names in (("reviewer", ["Rolf"]), ("labeler", ["Ann", "Ben"])):
            page = self.go_to("People")
            page.get_by_role("link", name="Invite", exact=True).click()
            page.locator("#invite").get_by_label("Role").select_option(role)
            page.get_by_label("Names or e-mail addresses").fill("\n".join(names))
            page.get_by_role("button", name="Make the links").click()
            links = {name: page.get_by_label(f"Link for {name}", exact=True).input_value() for name in names}
            if role == "labeler":
                self.shoot(page, "invite")
            for name, link in links.items():
                self.join(name.lower(), link)
        page = self.go_to("People")
        for name in ("rolf", "ann", "ben"):
            expect(page.locator(".members")).to_contain_text(name)

    def join(self, name: str, link: str) -> None:
        page = self.page_of(name)
        page.goto(link)
        page.get_by_label("User name").fill(name)
        for label in ("Password", "Password, again"):
            page.get_by_label(label, exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("You are a member of Math now.")

    # --- work -----------------------------------------------------------------------------------------------------------------------

    def publish_the_first_batch(self) -> None:
        """Publish solutions that are chosen at random: there is no model yet."""
        page = self.go_to("Batches")
        page.get_by_label("Solutions").fill(str(SIZE))
        page.get_by_role("button", name="Publish the first batch").click()
        self.expect_message("is queued")
        expect(page.locator("[data-loop]")).to_contain_text("Published")

    def let_the_reviewer_label(self) -> None:
        """Label as many solutions as practice and screening need."""
        page = self.start_labeling("rolf")
        page.keyboard.press("3")
        self.shoot(page, "labeling")
        page.keyboard.press("Backspace")
        for _ in range(PRACTICE + SCREENING):
            label(page, *MISTAKE_IN_STEP_2)

    def compose_practice_and_screening(self) -> None:
        """Make practice and screening of what the reviewer labeled."""
        for kind, size in (("Practice", PRACTICE), ("Screening", SCREENING)):
            page = self.go_to("Batches")
            page.get_by_role("link", name="Practice, screening, gold").click()
            page.get_by_label(f"{kind}:").check()
            page.get_by_label("Whose labels are right").select_option("rolf")
            page.get_by_label("Solutions", exact=True).fill(str(size))
            page.get_by_role("button", name="Show solutions").click()
            expect(page.get_by_role("heading", name=f"{size} solutions")).to_be_visible()
            if kind == "Practice":
                self.shoot(page, "practice")
            page.get_by_role("button", name="Publish", exact=True).click()
            self.expect_message("is published. Newcomers get its solutions first.")

    def let_a_newcomer_work(self) -> None:
        """Ann practices, passes the screening, and labels. Ben only begins."""
        page = self.start_labeling("ann")
        for number in range(1, PRACTICE + 1):
            expect(page.locator("[data-step='0']")).to_be_focused()
            press(page, *MISTAKE_IN_STEP_2, "Enter")
            expect(page.locator("#verdict")).to_contain_text("Right.")
            if number == 1:
                self.shoot(page, "feedback")
            page.keyboard.press("Enter")
        for _ in range(SCREENING + 1):
            label(page, *MISTAKE_IN_STEP_2)
        self.start_labeling("ben")

    # --- what a manager does while people work ----------------------------------------------------------------------------------------

    def watch(self) -> None:
        """See who works, how far the batch is, and who holds what."""
        page = self.go_to("Overview")
        expect(page.get_by_role("region", name="Who works now")).to_contain_text("ann")
        expect(page.locator("[data-loop]")).to_contain_text("Published")
        self.shoot(page, "overview")
        page = self.go_to("Batches")
        page.get_by_role("link", name="Selected 0").click()
        expect(page.get_by_role("group", name="In hand now")).to_contain_text("ann")
        self.shoot(page, "batch")

    def pause_somebody(self) -> None:
        """Pause ben with a reason, which both sides read."""
        page = self.go_to("People")
        page.get_by_role("link", name="ben", exact=True).click()
        page.get_by_label("Pause: the reason").fill(REASON)
        page.get_by_role("button", name="Pause", exact=True).click()
        self.expect_message("ben is paused and reads the reason on their home page.")
        expect(page.get_by_text(f"The reason, which ben reads too: {REASON}")).to_be_visible()
        self.shoot(page, "pause")
        ben = self.pages["ben"]
        ben.get_by_role("link", name="Stepmark").click()
        expect(ben.locator(".card")).to_contain_text(f"Your labeling in this project is paused. The reason: {REASON}")

    def correct_an_answer(self) -> None:
        """Correct a reference answer. What it changes is shown first."""
        page = self.open_solution()
        page.get_by_role("link", name="correct the reference answer").click()
        page.get_by_role("textbox", name="Reference answer").fill("2001")
        page.get_by_role("button", name="Show what changes").click()
        expect(page.get_by_role("region", name="What changes")).to_contain_text("graded again")
        self.shoot(page, "correct")
        page.get_by_role("button", name="Correct the answer").click()
        self.expect_message("The answer is corrected.")

    def withdraw_a_solution(self) -> None:
        """Withdraw a solution for good."""
        page = self.open_solution(labeled="yes")
        page.get_by_role("link", name="Withdraw from labeling").click()
        expect(page.get_by_role("heading", name="Withdraw solution")).to_be_visible()
        self.shoot(page, "withdraw")
        page.get_by_role("button", name="Withdraw it for good").click()
        self.expect_message("is withdrawn. Nobody gets it any more.")

    def compose_a_round(self) -> None:
        """Let a round propose solutions at random, leave one out, and publish the others. Without a training it takes seconds."""
        page = self.go_to("Rounds")
        page.get_by_role("link", name="Compose a round").click()
        page.get_by_role("link", name="Solutions at random.", exact=True).click()
        expect(page).to_have_url(re.compile("preset=uniform"))
        page.get_by_label("Train first").uncheck()
        page.get_by_role("textbox", name="Solutions", exact=True).fill(str(COMPOSED))
        self.shoot(page, "compose")
        page.get_by_role("button", name="Propose a batch").click()
        expect(page.get_by_role("heading", name=f"{COMPOSED} solutions to review")).to_be_visible()
        page.get_by_label("Leave out").first.check()
        self.shoot(page, "proposal")
        page.get_by_role("button", name=f"Publish {COMPOSED - 1} solutions").click()
        self.expect_message("is published. Labelers get its solutions now.")

    def close_the_first_batch(self) -> None:
        """Close the first batch. What people hold can be finished."""
        page = self.go_to("Batches")
        page.get_by_role("link", name="Selected 0").click()
        page.get_by_role("button", name="Close for good").click()
        expect(page.locator("#asked")).to_be_visible()
        self.shoot(page, "close")
        page.locator("#asked").get_by_role("button", name="Close for good").click()
        self.expect_message("The batch is closed.")
        label(self.pages["ann"], *MISTAKE_IN_STEP_2)

    def see_who_did_what(self) -> None:
        """Find everything of the day among the events of the project."""
        page = self.go_to("Settings")
        page.get_by_role("link", name="Who did what").click()
        for verb in ("create project", "import", "open practice", "open screening", "pause member", "correct", "withdraw", "close batch"):
            expect(page.locator("main table")).to_contain_text(verb)

    # --- steps that come again ------------------------------------------------------------------------------------------------------

    def go_to(self, section: str) -> Page:
        """Go to a section of the project with the mouse."""
        link = self.olga.get_by_role("navigation", name="Sections of Math").get_by_role("link", name=section, exact=True)
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        return self.olga

    def open_solution(self, *, labeled: str = "") -> Page:
        """Open the first solution that is found. labeled, yes: nobody holds it, so its withdrawal takes it from nobody."""
        page = self.go_to("Solutions")
        if labeled:
            page.get_by_label("Labeled", exact=True).select_option(labeled)
            page.get_by_role("button", name="Find", exact=True).click()
            expect(page).to_have_url(re.compile(f"labels={labeled}"))
        page.locator("table.found tbody tr").first.get_by_role("link").first.click()
        expect(page.get_by_role("heading", name="History")).to_be_visible()
        return page

    def start_labeling(self, name: str) -> Page:
        page = self.pages[name]
        page.get_by_role("link", name="Start labeling").click()
        expect(page.locator("[data-step='0']")).to_be_focused()
        return page

    def expect_message(self, words: str) -> None:
        expect(self.olga.locator(".messages")).to_contain_text(words)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def label(page: Page, *keys: str) -> None:
    """Rate the solution of a labeling page, and wait until the labels are stored."""
    expect(page.locator("[data-step='0']")).to_be_focused()
    today: Locator = page.locator("[data-today]")
    before = int(today.get_attribute("data-today") or 0)
    press(page, *keys, "Enter")
    expect(page.locator(f"[data-today='{before + 1}']")).to_be_attached()


def keep_pictures(folder: Path) -> Shoot:
    """Return what keeps a picture of the visible part of a page: WebP, which no other tool has to make smaller."""

    def shoot(page: Page, name: str) -> None:
        page.wait_for_load_state("networkidle")
        page.evaluate("document.fonts.ready")
        devtools = page.context.new_cdp_session(page)
        picture = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 60})
        devtools.detach()
        (folder / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))

    return shoot


def main() -> None:
    """Live through the day, and keep its pictures."""
    parser = argparse.ArgumentParser(prog="script/screenshots", description="Make the pictures of docs/first-day.md and of the README.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img", help="folder of the pictures (default: docs/img)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user if this process is root
        browser = chromium.launch(playwright)
        with empty_site(Path(folder) / "home") as link:
            day = FirstDay(browser, link=link, file=SAMPLE, shoot=keep_pictures(options.out))
            day.live()
        browser.close()
    if day.faults:
        sys.exit("\n".join(day.faults))


if __name__ == "__main__":
    main()
