// A list that is worked through with keys: j and k go down and up, and each button of a row has the key in data-key.
(() => {
  "use strict";
  const list = document.querySelector("[data-rows]");
  if (!list) return;
  const PLACE = `stepmark.row ${location.pathname}`;
  const rows = [...list.querySelectorAll("[data-row]")];
  const current = () => document.activeElement?.closest("[data-row]");
  const go = (place) => rows[Math.max(0, Math.min(place, rows.length - 1))]?.focus();
  const isTyping = (element) => element?.matches("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") current()?.focus();
      return;
    }
    const row = current(), place = rows.indexOf(row);
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (step && (row || event.key.length === 1)) {
      event.preventDefault();
      return go(row ? place + step : 0);
    }
    if (event.key === "a" && document.querySelector("[data-all]")) return document.querySelector("[data-all]").click();
    // A button that has the focus answers Enter itself.
    if (!row || (event.key === "Enter" && event.target !== row)) return;
    const target = [...row.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key && one.checkVisibility());
    if (!target) return;
    event.preventDefault();
    if (target.matches("button, a")) target.click();
    else target.focus();
  });
  // After a button, the page comes back: the list goes on at the same place.
  list.addEventListener("submit", (event) => {
    try { sessionStorage.setItem(PLACE, rows.indexOf(event.target.closest("[data-row]"))); } catch { /* closed: it begins at the top */ }
  });
  try {
    const place = sessionStorage.getItem(PLACE);
    sessionStorage.removeItem(PLACE);
    if (place !== null) go(Number(place));
  } catch { /* closed */ }
})();
