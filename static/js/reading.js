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

  const store = async () => {
    addStyle();
    for (const choice of choices) root.dataset[choice.dataset.choice] = choice.value;
    word.textContent = "";
    try {
      await post(place.dataset.url, { text_size: root.dataset.textSize, line_width: root.dataset.lineWidth });
      word.textContent = "Saved for all your browsers.";
    } catch {
      word.textContent = "Not saved: the server does not answer. It holds on this page until you leave it.";
    }
  };
  place.addEventListener("change", store);
  if (choices.some((choice) => choice.value !== (root.dataset[choice.dataset.choice] ?? "normal"))) store(); // changed before this script was there
})();
