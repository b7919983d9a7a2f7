// The begin of a text in a list or a table, with its formulas in the line. Loaded with the first of them.
(() => {
  "use strict";
  const { split, writer } = Stepmark;
  Stepmark.showBrief = (element) => {
    const isMarkdown = element.dataset.brief === "markdown" && !!Stepmark.drawMarkdown;
    const text = isMarkdown ? element.textContent.replace(/\s+/g, " ").replace(/^ ?#+ /, "") : element.textContent; // in one line: no lists, no headings
    const parts = split(text, isMarkdown).map((part) => {
      if (part.source.endsWith("…")) return { ...part, kind: "text", body: part.source }; // the cut went through this formula
      return part.kind === "display" ? { ...part, kind: "inline" } : part;
    });
    element.replaceChildren();
    const write = writer(text, parts, []);
    if (isMarkdown) Stepmark.drawMarkdown(element, parts, write);
    else write(element, 0, text.length);
  };
})();
