// What the server refused, in plain words: what happened, what became of the work, and the one way on.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});
  const $ = (selector) => document.querySelector(selector);
  const reload = () => location.reload();
  const TROUBLE = {
    lease_lost: ["This solution is no longer yours", "Nothing else is lost: all you submitted before is stored.", "Take the next solution", reload],
    withdrawn: ["This solution was withdrawn", "Nothing else is lost: all you submitted before is stored.", "Take the next solution", reload],
    submission_conflict: ["This was submitted before, with other ratings", "The ratings that arrived first are stored and stay as they are.", "Take the next solution", reload],
    signed_out: ["You are signed out", "Your ratings stay in this browser and are sent after you sign in here again.", "Sign in", reload],
    csrf: ["This page is too old", "Your ratings stay in this browser and are there again after the reload.", "Reload the page", reload],
    not_found: ["This solution is not open to you", "What you submitted before is stored.", "Take the next solution", reload],
  };

  // `edit` leads back to ratings that may be mended.
  Stepmark.explain = (error, { edit }) => {
    const [title, work, on, act] = TROUBLE[error.code] || ["These ratings were not taken", "They are still on this page: mend them and submit again.", "Back to the ratings", edit];
    const dialog = $("#trouble");
    $("[data-trouble-title]").textContent = title;
    $("[data-trouble-text]").textContent = error.message || (error.code === "csrf" ? "You signed in or out since it was opened, so the server does not trust it any more." : "");
    $("[data-trouble-work]").textContent = work;
    $("[data-trouble-back]").hidden = true;
    const button = $("[data-trouble-on]");
    button.textContent = on;
    button.onclick = () => { dialog.close(); act(); };
    dialog.oncancel = (event) => event.preventDefault(); // there is one way on, and it is the button
    if (!dialog.open) dialog.showModal();
    button.focus();
  };
})();
