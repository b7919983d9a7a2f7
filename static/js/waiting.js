// Loaded when the page says that its person is signed out. It asks every few seconds who is signed in: a sign-in in another tab closes the
// dialog, and the page sends what waits.
(() => {
  "use strict";
  const dialog = document.getElementById("trouble"), { labeler } = document.querySelector("meta[name=csrf]").dataset;
  const look = async () => {
    if (!dialog.open || document.hidden) return;
    const answer = await fetch(dialog.dataset.who).catch(() => null);
    const { person } = answer?.ok ? await answer.json() : {};
    if (person === Number(labeler)) location.reload(); // the page sends what waits when it loads
  };
  setInterval(look, 3000);
  addEventListener("focus", look);
  document.addEventListener("visibilitychange", look);
})();
