// A sitting: one labeler at one solution. It has ratings, undo, focus, clock and draft, for any kind of rated text. Painting is optimistic.
// whole.js (a solution up to its first mistake) and stepwise.js (one step at a time) define the order of texts. label.js delivers the results.
(() => {
  "use strict";
  const { store, newId, DraftKeeper, paintDots } = Stepmark;
  const NAMES = { [-1]: "negative", 0: "neutral", 1: "positive" };
  const IDLE = 60_000; // milliseconds without input after which the clock of active time stops
  const PLACE = "[data-step], [data-position], [data-written]";

  const $ = (selector, root = document) => root.querySelector(selector);
  const shown = (element, visible) => { element.hidden = !visible; };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const announce = (words) => { $("[data-announce]").textContent = words; };
  const { labeler: LABELER } = $("meta[name=csrf]").dataset; // two people may share a browser
  const keyOf = ({ dataset }) => `stepmark.draft.${LABELER}.${dataset.assignment}.${dataset.token}`;
  const isAnswered = ({ rating, flagged, written }) => rating !== null || flagged || written !== undefined;

  // A sitting consists of *texts*: {step, position, element, rating, flagged, ms}. A text that the labeler wrote has `written` and no rating.
  // A kind of sitting defines: restore(kept), open (the texts that count now, in order), paintRest(), after(text), nameOf(text), greeting,
  // closing, submit(). If a step may be written: writing (the text so far) and write(text).
  class Sitting {
    // isAhead: shown before the previous submit was acknowledged, so it is only reserved.
    constructor(root, { isAhead = false } = {}) {
      this.root = root;
      this.data = root.dataset;
      this.key = keyOf(root);
      this.isAhead = isAhead;
      this.isReopened = "reopened" in root.dataset;
      this.busy = false; // submitted, not acknowledged: the ratings cannot change
      this.textsByElement = new WeakMap();
      this.focus = null;
      this.seen = this.leased = performance.now();
    }

    text(element, step, position) {
      const text = { step, position, element, rating: null, flagged: false, ms: 0 };
      this.textsByElement.set(element, text);
      return text;
    }

    // The labeler's own step, made from the page's template.
    writtenText(step, written, ms = 0) {
      const element = $("template[data-own-step]", this.root).content.firstElementChild.cloneNode(true);
      const text = Object.assign(this.text(element, step, null), { written, ms });
      $("[data-text]", element).textContent = written;
      Stepmark.show(element);
      Stepmark.showKeys(element);
      return text;
    }

    textAt(element) { return this.textsByElement.get(element.closest(PLACE)); }

    // Take the newer one of the server's draft and the browser's copy. The server's draft may belong to an earlier claim.
    load() {
      const server = this.data.draft ? JSON.parse(this.data.draft) : { revision: 0, ratings: [] };
      const own = store.get(this.key);
      const newest = own && own.revision > server.revision ? own : server;
      this.draft?.stop();
      this.draft = new DraftKeeper({
        key: this.key, url: this.data.draftUrl, token: Number(this.data.token), revision: newest.revision,
        onRefused: Stepmark.explainHere, isHeld: this.isAhead || this.isReopened,
      });
      this.history = [];
      this.restore({ reason: own?.reason, ...newest }); // the server's draft has only ratings
      this.opened = own?.opened || Date.now();
      this.active = own?.active ?? this.open.reduce((sum, one) => sum + one.ms, 0);
      if (newest === own) this.draft.owe(own.ratings);
    }

    // Undo works after a reload: the ratings count as made in the order of the texts.
    fill(text, { rating, flagged, ms }) {
      Object.assign(text, { rating, flagged: !!flagged, ms: ms || 0 });
      if (isAnswered(text)) this.history.push(() => Object.assign(text, { rating: null, flagged: false }));
    }

    get missing() { return this.open.filter((text) => !isAnswered(text)); }
    get places() { return this.open; } // the texts that the arrow keys reach
    wireOf({ step, position, rating, flagged, ms, written }) {
      return written === undefined ? { step, position, rating, flagged, ms: Math.round(ms) } : { step, text: written, rating: null, ms: Math.round(ms) };
    }
    get said() { return this.open.filter(isAnswered).map((text) => this.wireOf(text)); }
    keep() { this.draft.keep({ ratings: this.said, active: this.active, opened: this.opened, ...this.more }); }

    // --- the clock ---

    // Add the time since the last input, up to IDLE, to the sitting and to the text in focus.
    tick() {
      const now = performance.now();
      const spent = Math.min(now - this.seen, IDLE);
      this.seen = now;
      this.active += spent;
      if (this.focus) this.focus.ms += spent;
    }

    // --- what a labeler does ---

    change(text, values) {
      if (this.busy) return false;
      const { rating, flagged } = text;
      this.history.push(() => Object.assign(text, { rating, flagged }));
      Object.assign(text, values);
      this.changed(text);
      return true;
    }

    changed(text) {
      this.paint(text);
      this.keep();
    }

    rate(text, rating) {
      if (!text) return;
      if (text.written !== undefined) return announce("Your own step is not rated.");
      if (!this.change(text, { rating })) return;
      const { open } = this, at = open.indexOf(text), isMissing = (one) => !isAnswered(one);
      const next = open.slice(at + 1).find(isMissing) ?? open.find(isMissing);
      this.goTo(next ?? this.after(text), { rated: text });
      announce(`${this.nameOf(text)} ${NAMES[rating]}.${next ? "" : ` ${this.closing}`}`);
    }

    flag(text) {
      if (!text || text.written !== undefined) return;
      const flagged = !text.flagged;
      if (!this.change(text, { flagged })) return;
      const words = $("[data-next]", this.root).textContent = `${this.nameOf(text)} ${flagged ? "" : "no longer "}marked as unsure.`;
      announce(words);
    }
    flagHere() { this.flag(this.rated ?? this.focus); }

    undo() {
      if (this.busy) return;
      const back = this.history.pop();
      if (!back) return announce("Nothing to undo.");
      const text = back();
      this.changed(text);
      this.goTo(text);
      announce(text ? `Undone at ${this.nameOf(text).toLowerCase()}.` : "Undone.");
    }

    // rated: the text that was rated just now and from which the focus moves on by itself. Until somebody moves it, `U` belongs to that text.
    goTo(text, { scroll = true, rated = null } = {}) {
      this.tick();
      this.rated = rated;
      for (const [one, index] of [[this.focus, -1], [text, 0]]) {
        if (!one) continue;
        one.element.tabIndex = index;
        one.element.toggleAttribute("data-focused", index === 0);
        for (const button of one.element.querySelectorAll("button")) button.tabIndex = index;
      }
      this.focus = text ?? null;
      this.focused();
      const element = text?.element ?? $("[data-submit]", this.root); // if there is no text yet
      element.focus({ preventScroll: true });
      if (scroll) element.scrollIntoView({ block: "nearest" });
    }

    focused() {}

    move(by) {
      const { places } = this, at = (places.includes(this.focus) ? places.indexOf(this.focus) : places.length) + by;
      this.goTo(places[Math.max(0, Math.min(at, places.length - 1))]);
    }

    // --- painting ---

    paint(text) { this.paintText(text); this.paintRest(); }

    paintText({ element, rating, flagged, written }) {
      if (written !== undefined) return;
      element.dataset.rated = rating ?? "";
      element.toggleAttribute("data-flagged", flagged);
      shown($(".flag", element), flagged);
      for (const button of element.querySelectorAll("[data-rating]")) button.setAttribute("aria-pressed", String(Number(button.dataset.rating) === rating));
    }

    paintAll() {
      this.open.forEach((text) => this.paintText(text));
      this.paintRest();
      this.goTo(this.missing[0] ?? this.open.at(-1));
    }

    paintBar(texts, words) {
      $("[data-progress-text]").textContent = words;
      shown($("[data-progress]"), true);
      paintDots(texts.filter((text) => text.written === undefined));
    }

    paintActions(isReady, words) {
      $("[data-submit]", this.root).toggleAttribute("data-ready", isReady && !this.busy);
      $("[data-submit]", this.root).toggleAttribute("disabled", this.busy);
      $("[data-act=undo]", this.root).disabled = this.busy || this.history.length === 0;
      this.root.toggleAttribute("data-busy", this.busy);
      $("[data-next]", this.root).textContent = this.busy ? "Sending…" : words;
    }

    // --- ending ---

    refuse(text) {
      this.goTo(text);
      announce(`${this.nameOf(text)} is not rated yet.`);
      text.element.animate?.([{ outlineOffset: "0px" }, { outlineOffset: "6px" }, { outlineOffset: "0px" }], 200);
    }

    // Bad problem and give up keep the ratings up to the first unrated text.
    get unbroken() { const { open, missing: [first] } = this; return first ? open.slice(0, open.indexOf(first)) : open; }

    finish(finish_reason, reason) {
      this.tick();
      const isWhole = finish_reason === "solution" || finish_reason === "found_error";
      const ratings = (isWhole ? this.open : this.unbroken).map((text) => this.wireOf(text));
      const total_ms = Math.max(Date.now() - this.opened, Math.ceil(this.active));
      Stepmark.hand(this, this.data.submitUrl, {
        ...(!this.isReopened && { token: Number(this.data.token) }), submission_id: newId(), ratings, finish_reason, reason, active_ms: Math.round(this.active), total_ms,
      });
    }

    skip(reason) { Stepmark.hand(this, this.data.skipUrl, { token: Number(this.data.token), reason }); }

    lock() { this.busy = true; this.paintRest(); }
    unlock() { this.busy = false; this.paintRest(); }
    edit() { this.busy = false; this.load(); this.paintAll(); }

    // The lease is confirmed: send the ratings so far to the server.
    confirm(seconds) {
      [this.data.leaseSeconds, this.leased, this.isAhead] = [seconds, performance.now(), false];
      this.draft.release();
    }
  }

  Object.assign(Stepmark, { Sitting, IDLE, $, shown, plural, announce, keyOf, isAnswered, LABELER });
})();
