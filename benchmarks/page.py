"""Figure: the labeling page in Chromium: its size, how soon it can be used, how soon a key shows, how soon the next solution is there.

Reads GSM8K's example solutions and MATH-500 from $STEPMARK_DATA (default ../shared/data), starts a temporary site and labels in it by
keyboard, half of the solutions to their end and half to a mistake. Prints the raw figures and one JSON object on its last line.

keystroke: duration of the keydown in the Event Timing API, from the key to the frame that shows its rating, in steps of 8 ms; below 16 ms
the browser reports nothing, and 16 is counted. keystroke_frame: from the keydown to the second frame after it, which starts once the first
is drawn. next_solution: from the keydown of Enter to the frame after the one in which another problem is visible.
`ratio`: two frames of a 60 Hz screen, 32 ms, over keystroke_p95_ms.
hostile_task: the longest task of the main thread while a page with up to 80 hostile texts (benchmarks/hostile/) opens, by the browser's
observer of long tasks, over all texts in a plain and a Markdown project. `hostile_ratio`: 250 ms over the longest. longest_text_task: the
same for steps of 20,000 characters.
"""

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from playwright.sync_api import Browser, Page, Response, sync_playwright

from benchmarks import hostile, temporary_site

KEYSTROKE_LIMIT = 32  # milliseconds
TASK_LIMIT = 250  # milliseconds
LONG_STEPS = 2000
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? bench.clickable"
PACE = 90  # milliseconds between two keys, as of a fast reader
ARGUMENTS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WATCH = """
(() => {
  const seen = (globalThis.bench = { keys: [], enters: [], frames: [], next: [], tasks: [0], clickable: null });
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) seen.tasks.push(one.duration);
  }).observe({ type: "longtask", buffered: true });
  const isVisible = (element) => !!element?.getClientRects().length;
  const work = () => [...document.querySelectorAll("[data-work]")].find((one) => isVisible(one.querySelector("[data-problem]")));
  globalThis.benchSteps = () => work().querySelectorAll("[data-step]").length;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (one.name === "keydown") seen.keys.push([one.startTime, one.duration]);
  }).observe({ type: "event", durationThreshold: 16, buffered: true });
  addEventListener("keydown", (event) => {
    const start = event.timeStamp;
    if (event.key !== "Enter") return requestAnimationFrame(() => requestAnimationFrame(() => seen.frames.push(performance.now() - start)));
    seen.enters.push(start);
    const before = work()?.dataset.assignment;
    const look = () => {
      const now = work();
      if (now && now.dataset.assignment !== before) requestAnimationFrame(() => seen.next.push(performance.now() - start));
      else if (performance.now() - start < 20_000) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, { capture: true });
  const wait = () => {
    if (document.querySelector("[data-step='0'][data-focused]")) seen.clickable = performance.now();
    else requestAnimationFrame(wait);
  };
  requestAnimationFrame(wait);
})();
"""  # label.js marks the first step as focused once its keys and clicks are heard


def percentile(values: Sequence[float], percent: int) -> float:
    ranked = sorted(values)
    return round(ranked[min(len(ranked) - 1, len(ranked) * percent // 100)], 1)


class Visitor:
    """A signed-in person who opens each page in a browser with an empty cache."""

    def __init__(self, browser: Browser, address: str, link: str) -> None:
        self.browser = browser
        self.options: dict[str, Any] = {"base_url": address, "viewport": {"width": 1400, "height": 900}}
        context = browser.new_context(**self.options)
        form: Any = temporary_site.link_form(context.request.get(link).text())
        context.request.post(f"{address}/sign-in/link/", form=form, headers={"Referer": address})
        self.options["storage_state"] = context.storage_state()
        context.close()

    def open(self, slug: str, hear: Callable[[Response], None] | None = None) -> Page:
        """Open a labeling page and wait until its first step can be clicked."""
        page = self.browser.new_context(**self.options).new_page()
        page.add_init_script(WATCH)
        if hear:
            page.on("response", lambda answer: hear(answer))
        page.goto(f"/p/{slug}/label/")
        page.wait_for_function("() => bench.clickable")
        return page


def kilobytes(visitor: Visitor, slug: str) -> float:
    """Return the kB (1,000 bytes, uncompressed) of scripts, styles and fonts that a page loads."""
    answers: list[Response] = []
    page = visitor.open(slug, answers.append)
    page.wait_for_load_state("networkidle")
    page.evaluate("async () => { await document.fonts.ready; }")
    page.wait_for_timeout(500)
    weight = dict.fromkeys(("script", "stylesheet", "font"), 0)
    for answer in answers:
        if answer.request.resource_type in weight:
            weight[answer.request.resource_type] += len(answer.body())
    page.context.close()
    print(f"{slug}: bytes by kind {weight}", flush=True)
    return round(sum(weight.values()) / 1000, 1)


def label_many(page: Page, keystrokes: int) -> dict[str, list[float]]:
    """Rate one solution after another until `keystrokes` keys were pressed; return milliseconds by what was awaited."""
    pressed = number = 0
    while pressed < keystrokes:
        n_steps = page.evaluate("() => benchSteps()")
        keys = ["3"] * n_steps if number % 2 else ["3"] * (n_steps // 2) + ["1"]
        for key in keys:
            page.keyboard.press(key)
            page.wait_for_timeout(PACE)
        page.keyboard.press("Enter")
        number, pressed = number + 1, pressed + len(keys)
        page.wait_for_function("count => bench.next.length === count", arg=number)
        page.wait_for_timeout(PACE)
    return heard(page, pressed)


def rate_long(page: Page, keystrokes: int) -> dict[str, list[float]]:
    """Rate the first steps of one long solution."""
    for _ in range(keystrokes):
        page.keyboard.press("3")
        page.wait_for_timeout(PACE)
    return heard(page, keystrokes)


def heard(page: Page, pressed: int) -> dict[str, list[float]]:
    page.wait_for_timeout(300)  # the observer gets its entries a little later
    seen: dict[str, Any] = page.evaluate("() => bench")
    keys = [duration for start, duration in seen["keys"] if start not in seen["enters"]]
    return {"keystroke": keys + [16.0] * (pressed - len(keys)), "keystroke_frame": seen["frames"], "next_solution": seen["next"]}


def publish_hostile(count: int, *, is_longest: bool) -> dict[str, Any]:
    """Publish hostile texts as steps, in a project for each page, in both kinds of text. `count` limits the pages of a kind."""
    from annotation.ingest import NewProblem, NewSolution
    from annotation.models import Project

    projects = {}
    for kind in ("plain", "markdown"):
        for number, some in enumerate(
            islice(hostile.pages(text.text for text in hostile.STORED if text.name.startswith("longest") == is_longest), count)
        ):
            slug = f"{'longest' if is_longest else 'hostile'}-{kind}-{number}"
            projects[slug] = temporary_site.publish(slug, rows=[NewSolution(problem=NewProblem(statement=some[0], answer="0"), steps=some)])
            Project.objects.filter(slug=slug).update(text_kind=kind)
    return projects


def longest_tasks(visitor: Visitor, slugs: Sequence[str], repeat: int) -> dict[str, float]:
    """Return the longest task of the main thread, in milliseconds, while each page opens: the median of some openings."""
    longest = {}
    for slug in slugs:
        found = []
        for _ in range(repeat):
            page = visitor.open(slug)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1_000)  # the observer gets its entries a little later
            found.append(page.evaluate("() => Math.max(...bench.tasks)"))
            page.context.close()
        longest[slug] = statistics.median(found)
        print(f"{slug}: longest tasks {[round(one) for one in found]} ms", flush=True)
    return longest


def publish_all(lines: int, formulas: int, n_long_steps: int) -> list[Any]:
    """Publish real solutions without formulas, some with formulas, each in its own project, and a very long one."""
    from annotation.ingest import NewProblem, NewSolution
    from trainer.steps import PARAGRAPHS, cut

    problems = [json.loads(line) for line in (temporary_site.DATA / "math" / "math500.jsonl").read_text().splitlines()]
    math = [
        NewSolution(
            problem=NewProblem(statement=one["problem"], answer=one["answer"]),
            steps=tuple(cut(one["solution"], by=PARAGRAPHS)),
        )
        for one in problems[:: len(problems) // formulas][:formulas]
    ]
    steps = tuple(f"Step {number}: we add {number} and get {number * (number + 1) // 2}." for number in range(1, n_long_steps + 1))
    sets = NewProblem(statement=r"How many $f : \mathbb{Z} \to \mathbb{N}$ have $\sum_{n \in \mathbb{Z}} f(n) = 1$?", answer="0")
    long = NewSolution(problem=NewProblem(statement=f"Add the numbers from 1 to {n_long_steps}.", answer="0"), steps=steps)
    return [
        temporary_site.publish("gsm8k", path=temporary_site.DATA / "gsm8k" / "example_model_solutions.jsonl", lines=lines, overlap=9),
        *(temporary_site.publish(f"math{number}", rows=[one], overlap=9) for number, one in enumerate(math)),
        temporary_site.publish("sets", rows=[NewSolution(problem=sets, steps=(r"One for each $n \in \mathbb{Z}$.",))], overlap=9),
        temporary_site.publish("long", rows=[long], overlap=9),
    ]


def measure(visitor: Visitor, *, keystrokes: int, repeat: int, formulas: int) -> dict[str, Any]:
    """Return all figures, in milliseconds and kB."""
    weights = [kilobytes(visitor, f"math{number}") for number in range(formulas)]
    figures: dict[str, Any] = {
        "kb_without_math": kilobytes(visitor, "gsm8k"),
        "kb_with_math": statistics.median(weights),
        "kb_with_math_most": max(weights),
        "kb_with_blackboard_bold": kilobytes(visitor, "sets"),
    }

    page = visitor.open("gsm8k")
    for kind, values in label_many(page, keystrokes).items():
        figures[f"{kind}_p95_ms"] = percentile(values, 95)
        p50, p95 = percentile(values, 50), percentile(values, 95)
        print(f"{kind}: {len(values)} times, p50 {p50}, p95 {p95}, most {max(values):.1f} ms", flush=True)
    page.context.close()

    for slug, name in (("gsm8k", "cold"), ("long", "long")):
        clickable, painted = [], []
        for _ in range(repeat):
            page = visitor.open(slug)
            clickable.append(page.evaluate("() => bench.clickable"))
            painted.append(page.evaluate(FIRST_PAINT))
            if slug == "gsm8k" or len(painted) < repeat:
                page.context.close()
        print(f"{name}: clickable {[round(one) for one in clickable]} ms, first paint {[round(one) for one in painted]} ms", flush=True)
        figures[f"{name}_clickable_ms"] = round(statistics.median(clickable))
        figures[f"{name}_first_paint_ms"] = round(statistics.median(painted))
    waits = rate_long(page, min(100, keystrokes))
    figures["long_keystroke_p95_ms"] = percentile(waits["keystroke"], 95)
    figures["long_keystroke_frame_p95_ms"] = percentile(waits["keystroke_frame"], 95)
    page.context.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench page", description="Measure the labeling page in Chromium.")
    parser.add_argument("--keystrokes", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=5, help="how often a page is opened with an empty cache; the medians count")
    parser.add_argument("--formulas", type=int, default=20, help="solutions of MATH-500 whose pages are weighed; the median counts")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    options = parser.parse_args()
    if options.smoke:
        options.keystrokes, options.repeat, options.formulas = 4, 1, 1
    if not (0 < options.keystrokes <= 5000 and 0 < options.repeat <= 50 and 0 < options.formulas <= 500):
        parser.error("At most 5,000 keystrokes, 50 repetitions and 500 solutions with formulas.")
    executable = os.environ.get("STEPMARK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root otherwise
    with temporary_site.running_home() as home:
        count, n_long_steps = (1, 50) if options.smoke else (len(hostile.STORED), LONG_STEPS)
        hostile_projects, longest = (publish_hostile(count, is_longest=is_longest) for is_longest in (False, True))
        projects = [
            *publish_all(10 if options.smoke else 300, options.formulas, n_long_steps),
            *hostile_projects.values(),
            *longest.values(),
        ]
        (link,) = temporary_site.invite(projects, 1)
        with temporary_site.serving(home) as ours, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS + sandbox)
            visitor = Visitor(browser, ours.address, ours.address + link)
            figures = measure(visitor, keystrokes=options.keystrokes, repeat=options.repeat, formulas=options.formulas)
            figures["hostile_task_ms"] = max(longest_tasks(visitor, list(hostile_projects), options.repeat).values())
            figures["longest_text_task_ms"] = max(longest_tasks(visitor, list(longest), options.repeat).values())
            figures["hostile_ratio"] = round(TASK_LIMIT / max(figures["hostile_task_ms"], 1), 2)
            browser.close()
    ratio = round(KEYSTROKE_LIMIT / figures["keystroke_p95_ms"], 2)
    print(json.dumps({**figures, "long_steps": n_long_steps, "ratio": ratio, "load": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
