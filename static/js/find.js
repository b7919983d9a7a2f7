// The search that / and Ctrl-K open: one field, and the list of what it finds. The list comes from the address of the form, which is also a page.
(() => {
  "use strict";
  const dialog = document.getElementById("finder");
  const form = dialog.querySelector("form"), field = form.elements.q;
  const place = dialog.querySelector("[data-found]"), status = dialog.querySelector("[data-find-status]");
  const AWAY = "The server does not answer at the moment. Try again in a moment.", PAUSE = 120; // milliseconds between two keys of a word
  let options = [], chosen = -1, shownFor = null, isGoing = false, asking = null, timer = 0;

  const choose = (to) => {
    options[chosen]?.setAttribute("aria-selected", "false");
    chosen = to;
    const option = options[chosen];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) field.setAttribute("aria-activedescendant", option.id);
    else field.removeAttribute("aria-activedescendant");
  };
  const show = (html, text) => {
    place.innerHTML = html;
    options = [...place.querySelectorAll("[role=option]")];
    chosen = -1;
    field.setAttribute("aria-expanded", String(options.length > 0));
    status.textContent = place.firstElementChild.dataset.said;
    shownFor = text;
    choose(options.length ? 0 : -1);
    if (isGoing) go();
  };
  const ask = async () => {
    clearTimeout(timer);
    asking?.abort();
    asking = new AbortController();
    const text = field.value;
    try {
      const answer = await fetch(`${form.action}?${new URLSearchParams({ q: text })}`, { headers: { "HX-Request": "true" }, signal: asking.signal });
      if (answer.redirected) return location.reload(); // the session has ended
      if (!answer.ok) throw new Error(answer.statusText);
      show(await answer.text(), text);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      isGoing = false;
      status.textContent = AWAY;
    }
    return undefined;
  };
  // Enter before the answer waits for it.
  const go = () => {
    isGoing = shownFor !== field.value;
    if (isGoing) return ask();
    const option = options[chosen];
    if (!option) return undefined;
    dialog.close(); // a link to a part of this page leaves it open otherwise
    return option.click();
  };
  const open = () => {
    dialog.showModal();
    field.select();
    ask();
  };

  field.addEventListener("input", () => {
    isGoing = false;
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !options.length || event.isComposing) return;
    event.preventDefault();
    choose((chosen + way + options.length) % options.length);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  dialog.addEventListener("close", () => { isGoing = false; asking?.abort(); clearTimeout(timer); });
  dialog.addEventListener("click", ({ target }) => { if (target === dialog || target.closest("[data-close], [role=option]")) dialog.close(); });

  const TYPED = "input:not([type=checkbox], [type=radio], [type=button], [type=submit], [type=file]), textarea, select, [contenteditable]";
  const isAsked = ({ key, code, ctrlKey, metaKey, altKey, shiftKey, target }) => {
    if (altKey) return false;
    if (ctrlKey || metaKey) return !shiftKey && (key.toLowerCase() === "k" || (code === "KeyK" && key > "~")); // also on a layout without Latin letters
    return key === "/" && !target.closest(TYPED);
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !isAsked(event) || event.target.readOnly || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    open();
  });
  for (const button of document.querySelectorAll("[data-find]")) {
    button.setAttribute("aria-keyshortcuts", "/ Control+K");
    button.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in a new tab: the page of the search
      event.preventDefault();
      open();
    });
  }
})();
