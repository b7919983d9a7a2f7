// A sitting step by step: the completions of one step are rated, and the solution continues from a positive one or from the labeler's own step, up to
// the answer. Earlier steps stay open. Choosing another text there removes the later steps, and undo brings them back.
(() => {
  "use strict";
  const { Sitting, $, shown, plural, announce, isAnswered, keyName, post, untilAcknowledged } = Stepmark;

  const wayOf = ({ position, written }) => (written === undefined ? { position } : { text: written });
  const ANSWER = "# Answer"; // ends a solution

  class StepByStep extends Sitting {
    constructor(root, options) {
      super(root, options);
      this.list = $("[data-steps]", root);
      this.stages = []; // {step, element, texts, own, chosen}, one for each step so far; texts is null if not known yet
      this.known = new Map(); // place -> its completions
      const given = JSON.parse(this.data.completions);
      if (!("byPath" in this.data)) given.forEach((completions, step) => this.known.set(step, completions));
      this.given = given;
    }

    // Generated completions depend on all earlier choices. Loaded completions do not.
    placeOf(way) { return "byPath" in this.data ? JSON.stringify(way) : way.length; }
    completionsAt(way) { return this.known.get(this.placeOf(way)) ?? ("byPath" in this.data ? undefined : []); }
    wayTo(step) { return this.stages.slice(0, step).map(({ chosen }) => wayOf(chosen)); }

    restore({ ratings }) {
      this.stages.forEach(({ element }) => element.remove());
      this.stages = [];
      this.pending = Map.groupBy(ratings, ({ step }) => step); // ratings of steps whose completions are not loaded yet
      if ("byPath" in this.data) {
        // The server sent the completions along the path of its draft.
        const way = [];
        for (const completions of this.given) {
          this.known.set(this.placeOf(way), completions.length ? completions : undefined);
          const gone = this.wayOn(JSON.parse(this.data.draft || '{"ratings":[]}').ratings, way.length);
          if (!gone) break;
          way.push(gone);
        }
      }
      this.enter();
    }

    wayOn(ratings, step) {
      const gone = ratings.find((one) => one.step === step && (one.chosen || one.text !== undefined));
      return gone && (gone.text === undefined ? { position: gone.position } : { text: gone.text });
    }

    get last() { return this.stages.at(-1); }
    get here() { return this.stageOf(this.focus) ?? this.last; }
    get open() { return this.stages.flatMap((stage) => this.textsOf(stage)); }
    get places() { return this.stages.flatMap((stage) => (stage === this.here || stage === this.last ? this.textsOf(stage) : [stage.chosen])); }
    textsOf({ texts, own }) { return own ? [...(texts ?? []), own] : texts ?? []; }
    stageOf(text) { return text && this.stages.find((stage) => this.textsOf(stage).includes(text)); }
    positives({ texts }) { return (texts ?? []).filter(({ rating }) => rating === 1); }
    get isComplete() { return !!this.last.chosen; }
    // The text from which Enter continues at the current step; null if there is none yet.
    get candidate() {
      const { here, focus } = this, positives = this.positives(here);
      return here.own ?? (positives.includes(focus) ? focus : here.chosen ?? (positives.length === 1 ? positives[0] : null));
    }

    wireOf(text) {
      const isChosen = text.written === undefined && this.stages[text.step].chosen === text;
      return { ...super.wireOf(text), ...(isChosen && { chosen: true }) };
    }
    get said() { return [...super.said, ...[...this.pending.values()].flat()]; }
    // Give up keeps the last step as it is. A step written there counts only if all its completions are rated.
    get unbroken() {
      const isLoose = ({ written, step }) => written !== undefined && step === this.last.step && this.missing.length > 0;
      return this.open.filter((text) => isAnswered(text) && !isLoose(text));
    }

    nameOf(text) {
      const number = text.step + 1;
      return text.written !== undefined ? `Your step ${number}` : `Completion ${this.stages[text.step].texts.indexOf(text) + 1} of step ${number}`;
    }
    get greeting() { return `Next solution, ${plural(this.last.texts?.length ?? 0, "completion")} of the first step.`; }
    get closing() { return this.words; }
    after(text) {
      const stage = this.stageOf(text);
      return stage === this.last ? stage.own ?? stage.chosen ?? this.positives(stage)[0] ?? text : text;
    }

    // --- one step after the other ---

    // Show the step after the chosen ones. Ask for its completions if they are not known.
    enter() {
      const step = this.stages.length;
      const element = $("template[data-stage]", this.root).content.firstElementChild.cloneNode(true);
      const stage = { step, element, texts: null, own: null, chosen: null };
      element.dataset.step = step;
      $("[data-stage-name]", element).textContent = step + 1;
      this.stages.push(stage);
      this.list.append(element);
      Stepmark.showKeys(element);
      const kept = this.pending.get(step) ?? [], completions = this.completionsAt(this.wayTo(step));
      if (completions) this.layOut(stage, completions);
      else if (kept.length === 1 && kept[0].text !== undefined) this.layOut(stage, []); // written where there were no completions
      else this.ask(stage);
    }

    layOut(stage, completions) {
      const place = $("[data-completions-of]", stage.element), { step } = stage;
      stage.texts = completions.map(({ position, text, is_final }, index) => {
        const element = $("template[data-completion]", this.root).content.firstElementChild.cloneNode(true), number = index + 1;
        element.dataset.position = position;
        element.setAttribute("aria-label", `Completion ${number} of step ${step + 1}`);
        $(".number", element).textContent = number;
        $("[data-text]", element).textContent = text;
        $(".ratings", element).setAttribute("aria-label", `Rating of completion ${number} of step ${step + 1}`);
        element.toggleAttribute("data-final", is_final);
        place.append(element);
        Stepmark.show(element);
        return Object.assign(this.text(element, step, position), { isFinal: is_final });
      });
      const kept = this.pending.get(step) ?? [];
      this.pending.delete(step);
      for (const one of kept) {
        const text = stage.texts.find(({ position }) => position === one.position);
        if (text) this.fill(text, one);
        else if (one.text !== undefined && !stage.own) this.setOwn(stage, this.writtenText(step, one.text, one.ms));
      }
      if (stage.own) place.append(stage.own.element);
      const chosen = stage.texts.find(({ position, rating }) => rating === 1 && kept.some((one) => one.chosen && one.position === position));
      const goneOn = chosen ?? (this.pending.size ? stage.own : null);
      if (!goneOn) return this.pending.clear();
      this.remember(stage, goneOn);
      this.goOn(stage, goneOn);
    }

    goOn(stage, text) {
      stage.chosen = text;
      if (!text.isFinal) this.enter();
    }

    // Ask the server, which may ask the generator. Meanwhile the page says so, and the labeler can write the step.
    async ask(stage) {
      this.say(stage, "Waiting for the next step…", { isWaiting: true });
      if (this.isAhead) return; // asked after the lease is confirmed
      const way = this.wayTo(stage.step), { signal } = this.draft.stopped, isAwaited = () => this.stages.includes(stage) && !stage.chosen && !signal.aborted;
      const send = () => post(this.data.completionsUrl, { token: Number(this.data.token) || 0, path: way }, { signal });
      const onFailure = () => { if (isAwaited()) this.say(stage, "No answer yet. This page tries again by itself.", { isWaiting: true }); };
      try {
        const { completions } = await untilAcknowledged(send, { onFailure, signal });
        this.known.set(this.placeOf(way), completions);
        if (!isAwaited()) return;
        this.say(stage, "");
        this.layOut(stage, completions);
        if (this.focus) this.paintTexts();
        else this.paintAll();
        announce(`${plural(completions.length, "completion")} of step ${stage.step + 1}.`);
      } catch (error) {
        if (!isAwaited()) return;
        if (!(error instanceof Stepmark.Refused)) throw error;
        if (error.code !== "generator_failed") return Stepmark.explainHere(error);
        this.say(stage, error.message, { mayRetry: true });
        announce(error.message);
      }
    }

    say(stage, words, { isWaiting = false, mayRetry = false } = {}) {
      stage.isWaiting = isWaiting;
      stage.hasFailed = mayRetry;
      const place = $("[data-stage-word]", stage.element);
      shown(place, !!words);
      $("span", place).textContent = words;
      shown($("button", place), mayRetry);
      this.paintRest();
    }

    retry() { if (this.last.hasFailed) this.ask(this.last); }

    confirm(seconds) {
      super.confirm(seconds);
      if (!this.last.texts) this.ask(this.last);
    }

    // Before the path changes at a stage: undo restores the stage and the stages after it.
    remember(stage, text) {
      const { own, chosen } = stage, later = this.stages.slice(stage.step + 1), { rating, flagged } = text ?? {};
      this.history.push(() => {
        this.cut(stage);
        stage.chosen = chosen;
        this.setOwn(stage, own);
        if (text) Object.assign(text, { rating, flagged });
        this.stages.push(...later);
        this.list.append(...later.map(({ element }) => element));
        return text ?? this.textsOf(stage)[0];
      });
    }

    cut(stage) { for (const { element } of this.stages.splice(stage.step + 1)) element.remove(); }

    // Change the path. If later stages have ratings, ask first. The later stages are gone when `act` runs.
    turn(stage, text, act) {
      const later = this.stages.slice(stage.step + 1);
      const turn = () => {
        this.remember(stage, text);
        this.cut(stage);
        this.pending.clear();
        stage.chosen = null;
        act();
      };
      if (!later.some((one) => this.textsOf(one).some(isAnswered))) return turn();
      const dialog = $("#drop");
      $("[data-drop-text]", dialog).textContent = `This removes what comes after step ${stage.step + 1}: ${plural(later.length, "step")}. Undo brings it back.`;
      $("form", dialog).onsubmit = (event) => {
        event.preventDefault();
        dialog.close(); // first, because it restores the focus
        turn();
      };
      dialog.showModal();
    }

    // --- what a labeler does ---

    rate(text, rating) {
      const stage = this.stageOf(text);
      if (this.busy || !text || text.written !== undefined || stage.chosen !== text || rating === 1) return super.rate(text, rating);
      this.turn(stage, text, () => { // the chosen text must be positive
        text.rating = rating;
        this.keep();
        this.paintTexts();
        this.goTo(text);
      });
    }

    // Unrated texts up to the current step. Later steps may be left.
    get inTheWay() { const { here, missing } = this; return this.isComplete ? missing : missing.filter(({ step }) => step <= here.step); }

    // Enter: continue from the text in focus, else from the only positive one. From a final one, submit.
    submit() {
      if (this.busy) return;
      const { here, candidate, inTheWay: [missing] } = this;
      if (missing) return this.refuse(missing);
      if (!candidate) return announce(this.words);
      if (candidate === here.chosen) return this.isComplete ? this.finish("solution", "") : this.paintAll();
      this.turn(here, candidate, () => {
        this.goOn(here, candidate);
        this.keep();
        this.paintAll();
        if (candidate.isFinal) return this.finish("solution", "");
        announce(`Step ${this.stages.length}, ${plural(this.last.texts?.length ?? 0, "completion")}.`);
      });
    }

    get writing() { return this.busy ? null : { step: this.here.step, text: this.here.own?.written }; }

    write(written) {
      const { here } = this;
      this.turn(here, null, () => {
        this.setOwn(here, written === undefined ? null : this.writtenText(here.step, written, here.own?.ms));
        this.keep();
        this.paintTexts();
        this.goTo(here.own ?? this.textsOf(here)[0]);
        announce(written === undefined ? "Your step was removed." : `Your step was saved. ${this.words}`);
      });
    }

    setOwn(stage, own) {
      stage.own?.element.remove();
      stage.own = own;
      if (!own) return;
      own.isFinal = own.written.includes(ANSWER);
      own.element.toggleAttribute("data-final", own.isFinal);
      $("[data-completions-of]", stage.element).append(own.element);
    }

    changed() {
      this.paintTexts();
      this.keep();
    }

    // --- painting ---

    focused() { this.paintRest(); }

    paintTexts() {
      this.open.forEach((text) => this.paintText(text));
      this.paintRest();
    }

    paintAll() {
      this.paintTexts();
      const [first] = this.textsOf(this.last);
      this.goTo(this.missing[0] ?? (first && this.after(first)));
    }

    // What the labeler does next, and what Enter does.
    get words() {
      const { here, candidate, last } = this, missing = this.inTheWay.length, enter = keyName("submit");
      if (missing) return `${plural(missing, "completion")} to rate.`;
      if (candidate && candidate === here.chosen && !this.isComplete) return `${enter} goes back to step ${last.step + 1}.`;
      if (candidate?.isFinal) return `${enter} submits this answer.`;
      if (candidate) return `${enter} continues from ${candidate.written !== undefined ? "your step" : `completion ${here.texts.indexOf(candidate) + 1}`}.`;
      if (here.isWaiting) return "Waiting for the next step.";
      if (!here.texts) return "Write the step yourself, or try again.";
      if (this.positives(here).length) return `Go to the completion to continue from, then press ${enter}.`;
      return `${here.texts.length ? "No completion is positive" : "This step has no completions"}. Write the step yourself, or give up.`;
    }

    paintRest() {
      const { here, last, candidate, words } = this;
      for (const stage of this.stages) {
        stage.element.toggleAttribute("data-gone", stage !== last);
        stage.element.toggleAttribute("data-unfolded", stage === here || stage === last);
        shown($("[data-stage-write]", stage.element), stage === here && !stage.own);
        for (const text of this.textsOf(stage)) text.element.toggleAttribute("data-chosen", text === stage.chosen);
      }
      const texts = last.texts ?? [];
      this.paintBar(texts, `Step ${last.step + 1}${texts.length ? `: ${texts.filter(isAnswered).length} of ${texts.length}` : ""}`);
      this.paintActions(!!candidate && !this.inTheWay.length, words);
      $("[data-submit-word]", this.root).textContent = candidate?.isFinal ? "Submit" : "Continue";
    }
  }

  Object.assign(Stepmark, { StepByStep });
})();
