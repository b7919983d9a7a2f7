// The size and the width of texts, in the dialog of keys. They change at once, and are stored for this person, so every browser has them.
(() => {
  "use strict";
  const { $, post } = Stepmark;
  const place = $("[data-reading]"), word = $("[data-reading-word]", place), root = document.documentElement;
  const choices = [...place.querySelectorAll("[data-choice]")];

  const addStyle = () => {
    if ($(`link[href="${place.dataset.style}"]`)) return;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: place.dataset.style }));
  };

  // One request at a time, and the newest choice last: of two on their way, the older one can arrive last, and its choice would stay.
  let isStoring = false, isNewer = false;
  const store = async () => {
    addStyle();
    for (const choice of choices) root.dataset[choice.dataset.choice] = choice.value;
    word.textContent = "";
    isNewer = true;
    if (isStoring) return;
    isStoring = true;
    let text;
    while (isNewer) {
      isNewer = false;
      text = await post(place.dataset.url, { text_size: root.dataset.textSize, line_width: root.dataset.lineWidth }).then(
        () => "Saved for all your browsers.",
        () => "Not saved: the server does not answer. It holds on this page until you leave it.",
      );
    }
    isStoring = false;
    word.textContent = text;
  };
  place.addEventListener("change", store);
  if (choices.some((choice) => choice.value !== (root.dataset[choice.dataset.choice] ?? "normal"))) store(); // changed before this script was there
})();
