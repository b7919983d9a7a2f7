// The labeler's recent submissions, each with a link that reopens it.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});

  Stepmark.openRecent = async () => {
    const dialog = document.getElementById("recent"), place = dialog.querySelector("[data-recent]");
    dialog.showModal();
    const answer = await fetch(dialog.dataset.url, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) { place.textContent = "The list could not be loaded. Close this window and try again."; return; }
    place.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
    Stepmark.show(place);
    place.querySelector("a")?.focus();
  };
})();
