// A new project: its address follows its name until somebody writes an address.
(() => {
  "use strict";
  const name = document.getElementById("project-name"), slug = document.querySelector("[data-slug]");
  const proposed = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 50);
  let isFree = !slug.value || slug.value === proposed(name.value);
  name.addEventListener("input", () => { if (isFree) slug.value = proposed(name.value); });
  slug.addEventListener("input", () => { isFree = !slug.value; });
})();
