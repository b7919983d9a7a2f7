// The page of a person's keys. A field takes the key that is pressed. A key that is used twice is reported at once; the server checks it again.
(() => {
  "use strict";
  const form = document.querySelector(".key-form"), said = form.querySelector("[data-said]");
  const NAMED = form.dataset.named.split(" ");
  const MODIFIERS = ["Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock", "Fn"];
  const fields = [...form.querySelectorAll("input[name]:not([type=hidden])")];
  let listening = null; // {field, before}

  const named = new Map(NAMED.map((name) => [name.toLowerCase(), name]));
  const canonical = (written) => named.get(written.toLowerCase()) || (written.length === 1 ? written.toLowerCase() : written);
  const keysOf = (field) => field.value.trim().split(/\s+/).filter(Boolean).map(canonical);
  const say = (words) => { said.textContent = words; };
  const blame = (field, words) => {
    document.getElementById(`fault-${field.name}`).textContent = words;
    if (words) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
  };

  // Report a key that is used twice at the later of the two fields, as the server does.
  const check = () => {
    const owners = new Map();
    for (const field of fields) {
      const keys = keysOf(field), taken = keys.find((key) => owners.has(key));
      blame(field, taken ? `${taken} is already the key for “${owners.get(taken).dataset.words}”.` : keys.length || field === listening?.field ? "" : "This action needs a key.");
      for (const key of keys) if (!owners.has(key)) owners.set(key, field);
    }
  };

  const listen = (field) => {
    if (listening) stop();
    field.focus();
    listening = { field, before: field.value };
    Object.assign(field, { value: "", placeholder: "press the key…", readOnly: true });
    check();
    say(`Press the new key for: ${field.dataset.words}. Escape keeps the old keys.`);
  };
  const stop = (value = listening.before) => {
    const { field } = listening;
    listening = null;
    Object.assign(field, { value, placeholder: "", readOnly: false });
    check();
    say(value ? `${field.dataset.words}: ${value}. ${document.getElementById(`fault-${field.name}`).textContent}` : "");
  };

  form.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (!listening) {
      if (key !== "Enter" || !fields.includes(target)) return;
      event.preventDefault(); // Enter would submit the form
      return listen(target);
    }
    if (key === "Tab") return stop();
    if (MODIFIERS.includes(key) || event.repeat) return;
    const name = key === " " ? "Space" : canonical(key);
    if (key === "Escape") stop();
    else if (event.ctrlKey || event.altKey || event.metaKey || (name.length > 1 && !NAMED.includes(name))) return blame(listening.field, `${key} cannot be used. Press another key.`);
    else stop(name);
    event.preventDefault();
  });
  form.addEventListener("focusout", ({ target }) => { if (target === listening?.field) stop(); });
  form.addEventListener("input", check);
  form.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-press]");
    if (button) listen(button.parentElement.querySelector("input"));
  });
  for (const element of form.querySelectorAll("[data-press], [data-with-script]")) element.hidden = false;
})();
