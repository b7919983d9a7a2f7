// A reopened submission: Escape leaves it, and so does its link. Changes are only in this browser until they are submitted, so leaving asks first.
(() => {
  "use strict";
  const { $, store } = Stepmark; // label.js, which comes later, says what is here()
  const link = $("a[data-leave]"), dialog = $("#leave");

  const formOf = (ratings) => ratings.map(({ step, position, rating, flagged, text, chosen }) =>
    JSON.stringify([step, position ?? 0, rating ?? null, !!flagged, text ?? "", !!chosen])).sort().join();
  const isChanged = (sitting) => {
    const { ratings, reason } = JSON.parse(sitting.data.draft);
    return formOf(sitting.said) !== formOf(ratings) || (sitting.more !== undefined && sitting.more.reason !== reason);
  };

  const leave = () => {
    const sitting = Stepmark.here();
    sitting.draft.stop();
    store.drop(sitting.key); // the next time, the submission is shown as it is stored
    location.assign(link.href);
  };
  const askToLeave = (event) => {
    const sitting = Stepmark.here();
    if (!sitting || sitting.busy) return; // submitted: its answer leads on
    event.preventDefault();
    if (isChanged(sitting)) dialog.showModal(); else leave();
  };

  link.addEventListener("click", askToLeave);
  dialog.addEventListener("submit", (event) => { event.preventDefault(); leave(); });
  // Before all others, because the key may also close an open menu or dialog, or leave a field.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing || $("dialog[open], [data-menu][open]") || event.target.closest("input, textarea, select")) return;
    askToLeave(event);
  }, { capture: true });
})();
