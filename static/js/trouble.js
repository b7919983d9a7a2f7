// A refusal in plain words: what happened, what became of the work, what to do.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});
  const $ = (name) => document.querySelector(name);
  const reload = () => location.reload();
  const GONE = ["Everything you submitted before is saved.", "Get the next solution", reload];
  const TROUBLE = {
    lease_lost: ["This solution is no longer yours", ...GONE],
    sees_labels: ["You no longer label here", GONE[0], "Go on", reload],
    withdrawn: ["This solution was withdrawn", ...GONE],
    submission_conflict: ["You submitted this before, with other ratings", "The first ratings are saved and stay as they are.", "Get the next solution", reload],
    signed_out: ["You are signed out", "Your ratings stay in this browser. They are sent after you sign in.", "Sign in", reload],
    csrf: ["This page is out of date. Reload it.", "Your ratings stay in this browser. You see them again after the reload.", "Reload this page", reload],
    not_found: ["You cannot label this solution", ...GONE],
  };

  // `edit` leads back to ratings that can be corrected.
  Stepmark.explain = (error, { edit }) => {
    const [title, work, on, act] = TROUBLE[error.code] || ["These ratings were not accepted", "They are still on this page. Correct them and submit again.", "Back to the ratings", edit];
    const dialog = $("#trouble");
    if (error.code === "signed_out") Stepmark.load("waiting");
    $("[data-trouble-title]").textContent = title;
    $("[data-trouble-text]").textContent = error.message || (error.code === "csrf" ? "You signed in or out after you opened it." : "");
    $("[data-trouble-work]").textContent = work;
    $("[data-trouble-back]").hidden = true;
    const button = $("[data-trouble-on]");
    button.textContent = on;
    button.onclick = () => { dialog.close(); act(); };
    dialog.oncancel = (event) => event.preventDefault(); // only the button closes it
    if (!dialog.open) dialog.showModal();
    button.focus();
  };
})();
