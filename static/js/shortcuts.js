// A key presses the button, or follows the link, that names it in aria-keyshortcuts. Once: the page that comes has its own.
(() => {
  "use strict";
  let isPressed = false;
  const named = ({ key, code }) => (key > "~" && code.startsWith("Key") ? code.slice(3) : key).toLowerCase(); // also without Latin letters
  document.addEventListener("keydown", (event) => {
    if (isPressed || event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || event.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = named(event), all = [...document.querySelectorAll("[aria-keyshortcuts]")];
    const target = all.find((one) => one.getAttribute("aria-keyshortcuts") === key);
    if (!target) return;
    event.preventDefault();
    isPressed = true;
    target.click();
  });
  addEventListener("pageshow", () => { isPressed = false; });
})();
