// The keys of a decided solution: a key leads to its link or button, S to the message, and Enter in the message sends it.
(() => {
  "use strict";
  const message = document.querySelector("[data-send-back] textarea");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || document.querySelector("dialog[open]")) return;
    if (event.target === message && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      message.form.requestSubmit();
      return;
    }
    if (event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select")) return;
    const key = event.key.toLowerCase();
    const place = key === "s" ? message : document.querySelector(`[data-shortcut="${CSS.escape(key)}"]`);
    if (!place) return;
    event.preventDefault();
    if (place.matches("a")) place.click();
    else { place.focus(); place.scrollIntoView({ block: "center" }); } // what changes something needs a second key
  });
})();
