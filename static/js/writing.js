// The dialog in which a labeler writes a step. Text that was not saved is there again when the same step is opened.
(() => {
  "use strict";
  const { $, announce, splitAnswer } = Stepmark;
  const LONGEST = 10_000; // characters
  const dialog = $("#write"), form = $("form", dialog), { text, answer } = form.elements; // there is a final answer only if a step may end the solution
  let sitting = null;

  const typed = () => [text.value.trim(), answer?.value.trim() && `# Answer\n\n${answer.value.trim()}`].filter(Boolean).join("\n\n");

  Stepmark.openWriting = (at) => {
    const { writing } = (sitting = at);
    if (!writing) return announce("Mark a mistake first. Then you can write that step.");
    const place = JSON.stringify([sitting.key, writing]), end = splitAnswer(writing.text ?? "");
    if (dialog.dataset.place !== place) {
      text.value = (answer && end ? end.before : writing.text) ?? "";
      if (answer) answer.value = end?.answer ?? "";
    }
    dialog.dataset.place = place;
    $("[data-write-step]", dialog).textContent = `step ${writing.step + 1}`;
    dialog.showModal();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const written = typed(), { length } = written;
    text.setCustomValidity(!length ? "Write the step." : length > LONGEST ? `Use at most ${LONGEST} characters. This text has ${length}.` : "");
    if (!form.reportValidity()) return;
    delete dialog.dataset.place;
    dialog.close(); // first, because it restores the focus
    sitting.write(written);
  });
})();
