// What every page shares: the theme switch, the person's menu, and a polled fragment that meets an ended session.
(() => {
  "use strict";
  const THEMES = { auto: "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;

  const showTheme = () => {
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = THEMES[root.dataset.theme || "auto"];
  };
  const switchTheme = () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(root.dataset.theme || "auto") + 1) % names.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try { localStorage.setItem("stepmark.theme", next); } catch { /* it holds for this page only */ }
    showTheme();
  };
  for (const button of document.querySelectorAll("[data-theme-switch]")) button.addEventListener("click", switchTheme);
  showTheme();

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  // A poll after the session ended is led to the sign-in page: show that page whole, not inside the fragment.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.xhr.responseURL.includes("/sign-in/")) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
})();
