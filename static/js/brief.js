// The begin of a text in a list or a table, with its formulas in the line. Loaded with the first of them.
(() => {
  "use strict";
  const { split, writer } = Stepmark;
  Stepmark.showBrief = (element) => {
    const text = element.textContent, parts = split(text).map((part) => {
      if (part.source.endsWith("…")) return { ...part, kind: "text", body: part.source }; // the cut went through this formula
      return part.kind === "display" ? { ...part, kind: "inline" } : part;
    });
    element.replaceChildren();
    writer(text, parts, [])(element, 0, text.length);
  };
})();
