// Guidelines: their formulas, and the search field above them, which marks and counts the hits and moves between them. htmx loads the panel later, so
// the document listens.
(() => {
  "use strict";
  const { drawn } = Stepmark, BLOCKS = "p, li, h3, td, th, pre, blockquote", FORMULA = "bdi.inline, bdi.display";

  // The server has left the formulas in the text, as they were written. They are those of steps, and code has none.
  const setFormulas = (panel) => {
    const walker = document.createTreeWalker(panel.querySelector(".prose"), NodeFilter.SHOW_TEXT), texts = [];
    for (let node; (node = walker.nextNode()); ) if (/[$\\]|\[asy\]/.test(node.data) && !node.parentElement.closest("code, pre, [data-text]")) texts.push(node);
    for (const text of texts) {
      const place = document.createElement("span");
      place.dataset.text = "plain";
      text.replaceWith(place);
      place.append(text);
    }
    if (texts.length) Stepmark.show(panel);
  };

  const panelOf = (element) => element.closest?.("[data-guidelines-search]");

  const clear = (prose) => {
    for (const mark of prose.querySelectorAll("mark")) mark.replaceWith(...mark.childNodes);
    prose.normalize();
  };

  const mark = ({ node, start, end }, from, to) => {
    const isText = node.nodeType === Node.TEXT_NODE, length = Math.min(to, end) - Math.max(from, start);
    const found = isText ? node.splitText(Math.max(0, from - start)) : node, made = document.createElement("mark");
    if (isText && found.data.length > length) found.splitText(length);
    found.replaceWith(made);
    made.append(found);
    return made;
  };

  // Wraps every hit; one that runs through several texts ("step *by* step") has a mark in each. A formula is searched for in its source, and marked as a
  // whole. Returns the marks, hit by hit.
  const markHits = (prose, words) => {
    const escaped = words.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replace(/\s+/g, "\\s+");
    const walker = document.createTreeWalker(prose, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT, ({ parentElement }) => (
      parentElement.closest(FORMULA) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT
    )), pieces = [], sources = new Map();
    for (const { text, leaves } of [...prose.querySelectorAll("[data-text]")].map((place) => drawn.get(place) ?? { leaves: [] })) {
      for (const [node, from, to] of leaves) sources.set(node, text.slice(from, to));
    }
    let text = "", block = null;
    for (let node; (node = walker.nextNode()); ) {
      const letters = node.data ?? (node.matches(FORMULA) ? sources.get(node) : "");
      if (!letters) continue;
      const own = node.parentElement.closest(BLOCKS);
      if (own !== block) text += "\0"; // no hit runs from one block into the next
      block = own;
      pieces.push({ node, start: text.length, end: text.length + letters.length });
      text += letters;
    }
    const hits = [...text.matchAll(new RegExp(escaped, "giu"))].map(({ 0: { length }, index }) => ({ from: index, to: index + length }));
    // Start at the end: a text that is split keeps its beginning, so earlier positions do not change.
    let last = pieces.length;
    return hits.reverse().map(({ from, to }) => {
      while (pieces[last - 1].start >= to) last--;
      let first = last;
      while (first && pieces[first - 1].end > from) first--;
      return pieces.slice(first, last).map((piece) => mark(piece, from, to));
    }).reverse();
  };

  const searches = new WeakMap(); // of each panel: {hits, at}
  const show = (panel, at) => {
    const search = searches.get(panel), count = search.hits.length;
    for (const mark of search.hits[search.at] || []) mark.removeAttribute("data-current");
    search.at = count ? (at + count) % count : -1;
    for (const mark of search.hits[search.at] || []) mark.setAttribute("data-current", "");
    search.hits[search.at]?.[0].scrollIntoView({ block: "nearest" });
    panel.querySelector("[data-found]").textContent = !panel.querySelector("input").value.trim() ? "" : count ? `${search.at + 1} of ${count}` : "not found";
  };
  const search = (panel) => {
    const prose = panel.querySelector(".prose"), words = panel.querySelector("input").value.trim();
    clear(prose);
    searches.set(panel, { hits: words ? markHits(prose, words) : [], at: -1 });
    show(panel, 0);
  };

  document.addEventListener("input", ({ target }) => { const panel = panelOf(target); if (panel) search(panel); });
  document.addEventListener("keydown", (event) => {
    const panel = panelOf(event.target);
    if (!panel || !event.target.matches("input") || event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Enter") return searches.has(panel) && show(panel, searches.get(panel).at + (event.shiftKey ? -1 : 1));
    if (!event.target.value) return document.querySelector("[data-focused]")?.focus(); // back to the step in hand
    event.target.value = "";
    search(panel);
  });

  const setAll = () => document.querySelectorAll("[data-guidelines-search]").forEach(setFormulas);
  document.addEventListener("htmx:afterSwap", setAll);
  setAll();
})();
