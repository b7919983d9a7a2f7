// The search field above the guidelines marks and counts the hits and moves between them. htmx loads the panel later, so the document listens.
(() => {
  "use strict";
  const BLOCKS = "p, li, h3, td, th, pre, blockquote";
  const panelOf = (element) => element.closest?.("[data-guidelines-search]");

  const clear = (prose) => {
    for (const mark of prose.querySelectorAll("mark")) mark.replaceWith(...mark.childNodes);
    prose.normalize();
  };

  // Wraps every hit; one that runs through several texts ("step *by* step") has a mark in each. Returns the marks, hit by hit.
  const markHits = (prose, words) => {
    const escaped = words.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replace(/\s+/g, "\\s+");
    const walker = document.createTreeWalker(prose, NodeFilter.SHOW_TEXT), pieces = [];
    let text = "", block = null;
    for (let node; (node = walker.nextNode()); ) {
      const own = node.parentElement.closest(BLOCKS);
      if (own !== block) text += "\0"; // no hit runs from one block into the next
      block = own;
      pieces.push({ node, start: text.length, end: text.length + node.data.length });
      text += node.data;
    }
    const hits = [...text.matchAll(new RegExp(escaped, "giu"))].map(({ 0: { length }, index }) => ({ from: index, to: index + length }));
    // Start at the end: a text that is split keeps its beginning, so earlier positions do not change.
    return hits.reverse().map(({ from, to }) => pieces.filter(({ start, end }) => start < to && from < end).map(({ node, start, end }) => {
      const found = node.splitText(Math.max(0, from - start));
      if (found.data.length > Math.min(to, end) - Math.max(from, start)) found.splitText(Math.min(to, end) - Math.max(from, start));
      const mark = document.createElement("mark");
      found.replaceWith(mark);
      mark.append(found);
      return mark;
    })).reverse();
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
})();
