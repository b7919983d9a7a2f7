// What all pages share: the theme switch, the person's menu, and polled fragments after a session has ended.
(() => {
  "use strict";
  const THEMES = { auto: "system", light: "light", dark: "dark" };
  const root = document.documentElement;

  const showTheme = () => {
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = THEMES[root.dataset.theme || "auto"];
  };
  const switchTheme = () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(root.dataset.theme || "auto") + 1) % names.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try { localStorage.setItem("stepmark.theme", next); } catch { /* closed: the theme changes on this page only */ }
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

  // htmx is large. It is loaded at once if something needs it at once, else when a fold that it fills is opened.
  const engine = document.querySelector("meta[data-htmx]");
  let asked = null;
  const loaded = new Promise((resolve) => { if (document.readyState === "complete") resolve(); else addEventListener("load", resolve); });
  const fetchHtmx = () => (asked ||= loaded.then(() => new Promise((resolve) => { // if it is loaded earlier, htmx misses the event that it waits for
    const script = Object.assign(document.createElement("script"), { src: engine.dataset.htmx });
    script.onload = resolve;
    script.onerror = () => { asked = null; script.remove(); }; // the next opening tries again
    document.head.append(script);
  })));
  const FILLED = "[hx-get], [hx-post]";
  if (engine && [...document.querySelectorAll(FILLED)].some((one) => !one.getAttribute("hx-trigger")?.startsWith("toggle"))) fetchHtmx();
  document.addEventListener("toggle", ({ target }) => {
    if (!engine || globalThis.htmx || !target.open || !target.querySelector(FILLED)) return;
    fetchHtmx().then(() => target.dispatchEvent(new Event("toggle"))); // htmx was loaded after this event
  }, { capture: true });

  // A poll after the end of the session gets the sign-in page. Show it as a whole, not in the fragment.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.xhr.responseURL.includes("/sign-in/")) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
})();
