// The keys of this person, from the page (meta[name=csrf] data-keys: act -> keys), and the hints that name the keys.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});
  const keys = JSON.parse(document.querySelector("meta[name=csrf]").dataset.keys);
  const acts = new Map(Object.entries(keys).flatMap(([act, its]) => its.map((key) => [key, act])));
  const SIGNS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Backspace: "⌫", Enter: "⏎", Delete: "Del", PageUp: "PgUp", PageDown: "PgDn", " ": "Space" };
  const sign = (key) => SIGNS[key] ?? (key.length === 1 ? key.toUpperCase() : key);

  // On a layout without Latin letters, or with signs in the row of digits, event.code names the key at this place of a Latin keyboard.
  const latin = ({ key, code, shiftKey }) => {
    const [, row, name] = /^(Key|Digit)(.)$/.exec(code) ?? [];
    return row && key.length === 1 && (key > "~" || (row === "Digit" && !shiftKey)) ? name.toLowerCase() : undefined;
  };
  const actOf = (event) => acts.get(event.key.length === 1 ? event.key.toLowerCase() : event.key) ?? acts.get(latin(event));
  const keyName = (act) => (keys[act]?.[0] === " " ? "Space" : keys[act]?.[0] ?? "The button");
  const cap = (key) => Object.assign(document.createElement("kbd"), { textContent: sign(key) });

  // [data-key="ACT"] shows an act's first key, [data-keys-of="ACT ACT"] all keys of some acts.
  const showKeys = (root) => {
    for (const hint of root.querySelectorAll("[data-key]")) {
      const [first] = keys[hint.dataset.key] ?? [];
      hint.textContent = first === undefined ? "" : sign(first);
      hint.hidden = first === undefined;
    }
    for (const place of root.querySelectorAll("[data-keys-of]")) {
      place.replaceChildren(...place.dataset.keysOf.split(" ").flatMap((act) => keys[act] ?? []).flatMap((key) => [cap(key), " "]));
    }
  };

  Object.assign(Stepmark, { actOf, keyName, showKeys });
})();
