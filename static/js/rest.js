// A hint to rest after long work without a break. It covers no step, holds nothing up, and can be closed. Other pages and tabs count too.
(() => {
  "use strict";
  const { $, shown, store, LABELER } = Stepmark;
  const BREAK = 5 * 60_000, NOTED = 5000, MINUTE = 60_000; // milliseconds
  const key = `stepmark.work.${LABELER}`, hint = $("[data-rest-hint]"), limit = Number($("meta[name=csrf]").dataset.rest) * MINUTE;
  if (!limit) return; // switched off

  // {since, last}: the work since the last break of at least BREAK, and its last sign
  const workOf = (now) => {
    const work = store.get(key);
    return work && now - work.last < BREAK && work.last <= now ? work : { since: now, last: now };
  };
  const note = () => {
    const now = Date.now(), work = workOf(now);
    if (now - work.last < NOTED && now !== work.since) return;
    store.set(key, { since: work.since, last: now });
    const isLong = now - work.since >= limit;
    if (isLong === !hint.hidden) return;
    if (isLong) $("span", hint).textContent = `You have worked for ${Math.round((now - work.since) / MINUTE)} minutes without a break. A short rest helps.`;
    shown(hint, isLong);
  };
  $("button", hint).addEventListener("click", () => {
    const now = Date.now();
    store.set(key, { since: now, last: now }); // hint again after as much work
    shown(hint, false);
    Stepmark.here()?.goTo(Stepmark.here().focus, { scroll: false });
  });
  for (const sign of ["keydown", "pointerdown", "wheel"]) addEventListener(sign, note, { passive: true });
  note();
})();
