// At the first mistake of a whole solution: other texts for that step, rated with the same keys; the step in the labeler's own words; what was wrong.
// Undo of the mistake hides all of this. The page keeps it, in case the mistake comes back.
(() => {
  "use strict";
  const { WholeSolution, $, shown, announce } = Stepmark;

  class SolutionWithAlternatives extends WholeSolution {
    constructor(root, options) {
      super(root, options);
      this.besides = new Map(); // step -> the element of its alternatives
      this.alternatives = new Map();
      for (const place of root.querySelectorAll("[data-alternatives]")) {
        const step = Number(place.dataset.alternatives);
        this.besides.set(step, place);
        this.alternatives.set(step, [...place.querySelectorAll("[data-position]")].map((one) => this.text(one, step, Number(one.dataset.position))));
      }
      this.mistakePlace = $("[data-mistake]", root);
      $("[data-wrong]", root).addEventListener("input", ({ target }) => this.explain(target.value));
    }

    get all() { return [...this.steps, ...[...this.alternatives.values()].flat()]; }

    restore({ ratings, reason }) {
      this.own = new Map(); // step -> the text written for it
      this.reasons = new Map(); // step -> what was wrong with it
      super.restore({ ratings });
      if (this.mistake && reason) this.reasons.set(this.mistake.step, reason);
    }

    take(one) {
      if (one.text !== undefined) {
        this.own.set(one.step, this.writtenText(one.step, one.text, one.ms));
        this.history.push(() => this.putOwn(one.step, undefined));
      } else if (one.position) {
        const text = this.alternatives.get(one.step)?.find(({ position }) => position === one.position);
        if (text) this.fill(text, one);
      } else super.take(one);
    }

    get open() {
      const { mistake } = this, own = mistake && this.own.get(mistake.step);
      return mistake ? [...super.open, ...(this.alternatives.get(mistake.step) ?? []), ...(own ? [own] : [])] : super.open;
    }
    get reason() { return (this.mistake && this.reasons.get(this.mistake.step)) || ""; }
    get more() { return { reason: this.reason }; }
    nameOf(text) {
      const { step, position, written } = text;
      return written !== undefined ? `Your step ${step + 1}` : position ? `Alternative ${this.alternatives.get(step).indexOf(text) + 1}` : super.nameOf(text);
    }

    get writing() {
      const { mistake } = this;
      return mistake && !this.busy ? { step: mistake.step, text: this.own.get(mistake.step)?.written } : null;
    }

    write(written) {
      const { step } = this.mistake, before = this.own.get(step);
      this.history.push(() => this.putOwn(step, before));
      const text = this.putOwn(step, written === undefined ? undefined : this.writtenText(step, written, before?.ms));
      this.changed(text);
      this.goTo(text);
      announce(written === undefined ? "Your step was removed." : "Your step was saved.");
    }

    // -> the text that the eye goes to
    putOwn(step, text) {
      this.own.get(step)?.element.remove();
      if (text) this.own.set(step, text); else this.own.delete(step);
      return text ?? this.steps[step];
    }

    explain(reason) {
      if (!this.mistake || this.busy) return;
      this.reasons.set(this.mistake.step, reason);
      this.keep();
    }

    paintRest() {
      super.paintRest();
      const { mistake, mistakePlace } = this;
      for (const [step, place] of this.besides) shown(place, step === mistake?.step);
      shown(mistakePlace, !!mistake);
      if (!mistake) return;
      const before = this.besides.get(mistake.step) ?? mistake.element, own = this.own.get(mistake.step), wrong = $("[data-wrong]", mistakePlace);
      if (before.nextElementSibling !== mistakePlace) before.after(mistakePlace);
      if (own) $("[data-own]", mistakePlace).replaceChildren(own.element);
      shown($("[data-own]", mistakePlace), !!own);
      shown($("[data-mistake-write]", mistakePlace), !own);
      if (wrong.value !== this.reason) wrong.value = this.reason;
      wrong.disabled = this.busy;
    }
  }

  Object.assign(Stepmark, { SolutionWithAlternatives });
})();
