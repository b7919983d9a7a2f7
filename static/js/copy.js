// Copying gives the text as it was written, with the source of formulas and Markdown. Loaded when something is selected for the first time.
(() => {
  "use strict";
  const { drawn } = Stepmark;
  const TEXTS = "[data-text], [data-answer]";

  const copyOf = (element, range) => {
    const asWritten = () => ({ text: element.textContent, leaves: [[element.firstChild ?? element, 0, element.textContent.length]] }); // not shown yet
    const { text, leaves } = drawn.get(element) ?? asWritten(), chosen = [];
    leaves.forEach(([node, from, to], place) => {
      if (!range.intersectsNode(node)) return;
      const isLetters = node.nodeType === Node.TEXT_NODE;
      const start = isLetters && node === range.startContainer ? from + range.startOffset : from;
      const end = isLetters && node === range.endContainer ? from + range.endOffset : to;
      // The signs of Markdown next to what is selected belong to it.
      if (start < end) chosen.push([start === from ? leaves[place - 1]?.[2] ?? 0 : start, end === to ? leaves[place + 1]?.[1] ?? text.length : end]);
    });
    return chosen.length ? text.slice(chosen[0][0], chosen.at(-1)[1]).replace(/^\n+|\n+$/g, "") : "";
  };
  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (selection.isCollapsed || event.target.closest?.("input, textarea")) return;
    const range = selection.getRangeAt(0), place = range.commonAncestorContainer, around = place.closest ? place : place.parentElement;
    const owner = around.closest(TEXTS), texts = owner ? [owner] : around.closest("[data-steps], .steps") ? [...around.querySelectorAll(TEXTS)] : [];
    const copied = texts.filter((one) => range.intersectsNode(one)).map((one) => copyOf(one, range)).filter(Boolean).join("\n");
    if (!copied) return;
    event.clipboardData.setData("text/plain", copied);
    event.preventDefault();
  });
})();
