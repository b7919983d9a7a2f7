// The calculator: a dialog that begins with the sum of the step in focus. The server works sums out (annotation/calculator.py), with exact fractions.
(() => {
  "use strict";
  const { $, post, drawn } = Stepmark;
  const dialog = $("#calculator"), form = $("form", dialog), field = form.elements.sum, results = $("[data-results]", dialog);
  const sums = $("[data-sums]", dialog), sumsOf = $("[data-sums-of]", dialog);
  let asked = 0; // a later question is not answered by an earlier answer

  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: dialog.dataset.style }));

  const line = (words, kind = "") => Object.assign(document.createElement("p"), { textContent: words, className: kind, dir: "ltr" });
  const of = (side, value) => (value.startsWith(side) ? value : value.startsWith("≈") ? `${side} ${value}` : `${side} = ${value}`);
  const show = ({ sum, results: values, verdict, is_equal: isEqual }) => {
    field.removeAttribute("aria-invalid");
    if (!values) return results.replaceChildren();
    const sides = sum.split(" = ");
    const lines = sides.length === 1 ? [line(values[0], "result")] : [...values.map((value, side) => line(of(sides[side], value))), line(verdict, isEqual ? "equal" : "unequal")];
    results.replaceChildren(...lines);
  };
  const ask = async (body) => {
    const number = (asked += 1);
    let answer;
    try {
      answer = await post(dialog.dataset.url, body);
      if (typeof answer === "string") throw new Error("You are signed out. Sign in again in another tab.");
    } catch (error) {
      if (number !== asked) return null;
      field.setAttribute("aria-invalid", "true");
      results.replaceChildren(line(error.message || "The server does not answer at the moment. Try again.", "unequal"));
      return null;
    }
    if (number !== asked) return null;
    show(answer);
    return answer;
  };
  const workOut = () => ask({ sum: field.value });

  form.addEventListener("submit", (event) => { event.preventDefault(); workOut(); });
  sums.addEventListener("click", ({ target }) => {
    if (!target.matches("button")) return;
    field.value = target.textContent;
    field.focus();
    workOut();
  });

  Stepmark.openCalculator = async (sitting) => {
    const text = sitting.focus, element = text && $("[data-text]", text.element);
    const source = element ? drawn.get(element)?.text ?? element.textContent : "";
    field.value = "";
    show({});
    sums.replaceChildren();
    sumsOf.textContent = text ? `Looking for sums in ${sitting.nameOf(text).toLowerCase()}…` : "";
    dialog.showModal();
    const answer = await ask({ text: source });
    if (!text) return;
    const found = answer?.sums ?? [];
    sumsOf.textContent = found.length ? `Sums in ${sitting.nameOf(text).toLowerCase()}:` : `No sum was found in ${sitting.nameOf(text).toLowerCase()}. Write one.`;
    sums.replaceChildren(...found.map((sum) => Object.assign(document.createElement("button"), { type: "button", className: "sum", textContent: sum, dir: "ltr" })));
    if (found.length && !field.value) {
      field.value = found[0];
      field.select();
    }
  };
})();
