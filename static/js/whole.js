// A sitting at a whole solution: rated step by step up to the first mistake. Later steps are hidden. Their ratings stay in this page for undo
// and are never sent. alternatives.js adds what some projects ask for at the mistake.
(() => {
  "use strict";
  const { Sitting, $, shown, plural, isAnswered, keyName } = Stepmark;

  class WholeSolution extends Sitting {
    constructor(root, options) {
      super(root, options);
      this.steps = [...root.querySelectorAll("[data-step]")].map((element, step) => this.text(element, step, 0));
      this.unfolded = false;
    }

    get all() { return this.steps; }
    restore({ ratings }) {
      for (const text of this.all) Object.assign(text, { rating: null, flagged: false, ms: 0 });
      for (const one of ratings) this.take(one);
    }
    take(one) { if (!one.position && this.steps[one.step]) this.fill(this.steps[one.step], one); }

    get end() { const mistake = this.steps.findIndex((one) => one.rating === -1); return mistake < 0 ? this.steps.length : mistake + 1; }
    get mistake() { const last = this.steps[this.end - 1]; return last.rating === -1 ? last : null; }
    get open() { return this.steps.slice(0, this.end); }
    get reason() { return ""; }
    get closing() { return `${keyName("submit")} submits.`; }
    get greeting() { return `Next solution, ${plural(this.steps.length, "step")}.`; }
    nameOf({ step }) { return `Step ${step + 1}`; }

    after(text) {
      const { open } = this;
      return text.rating === -1 && !text.position ? text : open[Math.min(open.indexOf(text) + 1, open.length - 1)];
    }

    paintAll() {
      this.folded = undefined;
      this.all.forEach((text) => this.paintText(text));
      this.paintRest();
      this.goTo(this.missing[0] ?? this.open.at(-1));
    }

    // Paint what depends on all steps: the hidden steps after a mistake, the progress, and what comes next.
    paintRest() {
      const { end, open, missing } = this, later = this.steps.length - end;
      if (this.folded !== end || this.foldedOpen !== this.unfolded) {
        for (const { element, step } of this.steps.slice(Math.min(this.folded ?? 0, end))) {
          element.toggleAttribute("data-beyond", step >= end);
          shown(element, step < end || this.unfolded);
        }
        [this.folded, this.foldedOpen] = [end, this.unfolded];
      }
      shown($("[data-folded]", this.root), later > 0);
      $("[data-folded-text]", this.root).textContent = `${plural(later, "later step")} after the first mistake: not rated.`;
      const unfold = $("[data-act=unfold]", this.root);
      unfold.textContent = this.unfolded ? "Hide" : "Show";
      unfold.setAttribute("aria-expanded", String(this.unfolded));

      const beside = open.filter(({ position }) => position), [counted, word] = beside.length ? [beside, "alternative"] : [open.slice(0, end), "step"];
      this.paintBar(open, `${counted.filter(isAnswered).length} of ${plural(counted.length, word)}`);
      const found = this.mistake ? `First mistake: step ${end}. ` : "";
      this.paintActions(missing.length === 0, missing.length === 0
        ? `${found || "No mistakes. "}Ready to submit.`
        : missing[0].position ? `${found}${plural(missing.length, "alternative")} to rate.` : `${plural(missing.length, "step")} to rate.`);
    }

    submit() {
      if (this.busy) return;
      const [missing] = this.missing;
      if (missing) this.refuse(missing);
      else this.finish(this.mistake ? "found_error" : "solution", this.reason.trim());
    }
  }

  Object.assign(Stepmark, { WholeSolution });
})();
