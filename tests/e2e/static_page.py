"""A page with the scripts and styles of the labeling page, and no server: many texts are shown in it at once, as Chromium lays them out."""

from pathlib import Path
from typing import Any

from django.conf import settings
from playwright.sync_api import Browser, Page, Route

from tests.waiting import PATIENCE

ADDRESS = "http://static.invalid/"
HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Texts</title>
<link rel="stylesheet" href="/css/stepmark.css"><link rel="stylesheet" href="/css/prose.css"></head><body><main id="main"></main>
<script src="/js/markdown.js"></script>
<script src="/js/math.js" data-katex="/vendor/katex/katex.min.js"
data-katex-style="/vendor/katex/katex.min.css" data-formulas="/js/formulas.js"
data-seldom="/js/seldom.js" data-brief="/js/brief.js" data-copy="/js/copy.js"></script></body></html>"""
SHOW = """async ([kind, texts]) => {
  const main = document.getElementById("main");
  main.replaceChildren(...texts.map((text) => {
    const element = Object.assign(document.createElement("div"), {className: "text", dir: "auto", textContent: text});
    element.dataset.text = kind;
    return element;
  }));
  Stepmark.show(main);
  for (;;) { // until everything that was asked for has come and was set
    const formulas = [...main.querySelectorAll(".inline, .display:not(div)")];
    const left = formulas.some((one) => !one.querySelector(".katex") && !one.matches(".broken"));
    const isIsolated = Stepmark.drawSeldom || !/[\\u0590-\\u08ff]/.test(texts.join());
    const isDrawn = (element) => { // a long text waits for formulas.js and for its turn
      const [leaf] = Stepmark.drawn.get(element)?.leaves ?? [[null]];
      return !element.ariaBusy && (!leaf || element.contains(leaf[0]));
    };
    const waiting = [...main.children].find((element) => !isDrawn(element));
    if (!left && isIsolated && !waiting) break;
    waiting?.scrollIntoView(); // on a long page, a text is shown when it comes near
    await new Promise(requestAnimationFrame);
  }
  await document.fonts.ready;
}"""


class StaticPage:
    """Shows texts, one element for each, and finds out what they look like."""

    def __init__(self, browser: Browser) -> None:
        self.context = browser.new_context(viewport={"width": 1000, "height": 800})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.route(f"{ADDRESS}**", self.answer)
        self.page.goto(ADDRESS)

    def answer(self, route: Route) -> None:
        path = Path(settings.BASE_DIR) / "static" / route.request.url.removeprefix(ADDRESS)
        if route.request.url == ADDRESS:
            route.fulfill(body=HTML, content_type="text/html")
        elif path.is_file():
            route.fulfill(path=path)
        else:
            route.abort()

    def show(self, *texts: str, kind: str = "markdown") -> None:
        self.page.evaluate(SHOW, [kind, list(texts)])

    def html(self, text: str, kind: str = "markdown") -> str:
        """The text's elements, without classes, directions and wrappers, with each formula as its source in ⟨ ⟩."""
        self.show(text, kind=kind)
        return self.page.evaluate(SIMPLE)

    def __call__(self, script: str, *arguments: Any) -> Any:
        return self.page.evaluate(script, *arguments)


SIMPLE = """() => {
  const simple = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const inner = () => [...node.childNodes].map(simple).join("");
    if (node.matches(".broken")) return `⟪${node.textContent}⟫`;
    if (node.matches("bdi.inline, bdi.display")) return `⟨${node.title}⟩`;
    if (node.matches("div, .gap, bdi:not([class])")) return inner();
    const number = node.matches("ol") && node.start !== 1 ? node.start : node.matches("li") ? node.getAttribute("value") : null;
    const start = number === null ? "" : ` ${number}`;
    return `<${node.localName}${start}>${inner()}</${node.localName}>`;
  };
  return [...document.querySelector("[data-text]").childNodes].map(simple).join("");
}"""
