// The bar above the work: the steps of this solution as dots, and the labels of today.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});
  const MOST_DOTS = 30;
  const $ = (selector) => document.querySelector(selector);

  const paintDots = (ratings) => {
    const place = $("[data-dots]");
    const many = ratings.length > MOST_DOTS;
    if (place.classList.toggle("bar", many) !== !!place.firstChild?.style.inlineSize) place.replaceChildren();
    if (many) {
      const done = ratings.filter((one) => one.rating !== null || one.flagged).length;
      place.replaceChildren(document.createElement("i"));
      place.firstChild.style.inlineSize = `${(100 * done) / ratings.length}%`;
      return;
    }
    while (place.children.length > ratings.length) place.lastChild.remove();
    while (place.children.length < ratings.length) place.append(document.createElement("i"));
    ratings.forEach((one, step) => { place.children[step].dataset.rated = one.rating ?? (one.flagged ? "unsure" : ""); });
  };

  const paintToday = () => {
    const { today, todayMs, goal, pace } = $("[data-today]").dataset;
    const each = (Number(todayMs) / Math.max(1, Number(today)) / 60_000).toFixed(1);
    const count = goal ? `${today} of ${goal}${Number(today) < Number(goal) ? "" : " ✓"}` : today;
    $("[data-today-text]").textContent = Number(today) ? `today ${count} · ${each} min each${pace ? `, goal ${pace}` : ""}` : "no labels yet today";
  };
  const countToday = ({ submission_id, active_ms }) => {
    if (!submission_id) return;
    const place = $("[data-today]").dataset;
    place.today = Number(place.today) + 1;
    place.todayMs = Number(place.todayMs) + active_ms;
    paintToday();
  };

  paintToday();
  Object.assign(Stepmark, { paintDots, countToday });
})();
