// The button that publishes a proposal says how many solutions it publishes: all but those left out, here and on the other pages.
(() => {
  "use strict";
  const button = document.querySelector("[data-publish]");
  if (!button) return;
  const form = button.form;
  const count = () => {
    const left = new Set(new FormData(form).getAll("drop")).size, n = Number(button.dataset.publish) - left;
    button.querySelector("[data-count]").textContent = n.toLocaleString("en");
    button.querySelector("[data-noun]").textContent = n === 1 ? "solution" : "solutions";
  };
  form.addEventListener("change", count);
  addEventListener("pageshow", count); // the browser restores ticks when one comes back
})();
