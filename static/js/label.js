// The labeling page: keys, focus and marks of one sitting after the other. Painting is optimistic; saving.js keeps the work.
// Hooks for tests and people's own scripts: [data-problem], [data-step="N"] (N counts from 0, as in the API), [data-rating], [data-submit], [data-status].
(() => {
  "use strict";
  const { store, newId, post, untilAcknowledged, showStatus, DraftKeeper, Outbox, Ahead, toWork, paintDots, countToday } = Stepmark;
  const KEYS = {
    1: "negative", "-": "negative", 2: "neutral", 0: "neutral", 3: "positive", "=": "positive", "+": "positive",
    ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last", Backspace: "undo", u: "unsure", b: "bad_problem", g: "give_up", r: "recent", Enter: "submit", "?": "keys",
  };
  const RATINGS = { negative: -1, neutral: 0, positive: 1 };
  const NAMES = { [-1]: "negative", 0: "neutral", 1: "positive" };
  const IDLE = 60_000; // milliseconds without a sign of life after which the clock of active time stands still
  const LONGEST_SKIP_REASON = 150;

  const $ = (selector, root = document) => root.querySelector(selector);
  const shown = (element, visible) => { element.hidden = !visible; };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const announce = (words) => { $("[data-announce]").textContent = words; };
  const { labeler: LABELER } = $("meta[name=csrf]").dataset; // two people may share a browser
  const keyOf = ({ dataset }) => `stepmark.draft.${LABELER}.${dataset.assignment}.${dataset.token}`;
  const outbox = new Outbox(`stepmark.outbox.${LABELER}`);
  const ahead = new Ahead();
  let sitting = null; // of the solution on the page; null: nothing to label
  let left = null; // the sitting before it, while its submit is on the way

  // --- a sitting ---------------------------------------------------------------------------------------------------------

  class Sitting {
    // isAhead: put up before the submit of the sitting before it was acknowledged, hence only reserved.
    constructor(root, { isAhead = false } = {}) {
      this.root = root;
      this.data = root.dataset;
      this.steps = [...root.querySelectorAll("[data-step]")];
      this.key = keyOf(root);
      this.isAhead = isAhead;
      this.isReopened = "reopened" in root.dataset;
      this.busy = false; // submitted, not acknowledged: the ratings stand as they were sent
      this.unfolded = false;
      this.focus = 0;
      this.seen = this.leased = performance.now();
      this.load();
    }

    // The newer of the server's draft and the browser's own; the server's may be of an earlier claim of the same seat.
    load({ isOwn = true } = {}) {
      const server = this.data.draft ? JSON.parse(this.data.draft) : { revision: 0, ratings: [] };
      const own = store.get(this.key);
      const newest = own && own.revision > server.revision ? own : server;
      this.ratings = this.steps.map(() => ({ rating: null, flagged: false, ms: 0 }));
      for (const one of newest.ratings) {
        if (this.ratings[one.step]) this.ratings[one.step] = { rating: one.rating, flagged: !!one.flagged, ms: one.ms || 0 };
      }
      this.opened = own?.opened || Date.now();
      this.active = own?.active ?? this.ratings.reduce((sum, one) => sum + one.ms, 0);
      // Undo goes back past a reload: what is rated counts as rated in the order of steps.
      this.history = this.ratings.flatMap((one, step) => (this.isAnswered(step) ? [{ step, rating: null, flagged: false }] : []));
      this.draft = new DraftKeeper({
        key: this.key, url: this.data.draftUrl, token: Number(this.data.token), revision: newest.revision,
        onRefused: explain, isHeld: this.isAhead || this.isReopened,
      });
      if (newest === own && isOwn) this.keep();
    }

    isAnswered(step) { return this.ratings[step].rating !== null || this.ratings[step].flagged; }
    get end() { const mistake = this.ratings.findIndex((one) => one.rating === -1); return mistake < 0 ? this.steps.length : mistake + 1; }
    get missing() { return this.ratings.slice(0, this.end).flatMap((_, step) => (this.isAnswered(step) ? [] : [step])); }
    get isMistakeFound() { return this.end > 0 && this.ratings[this.end - 1].rating === -1; }
    wire(end) { return this.ratings.slice(0, end).map(({ rating, flagged, ms }, step) => ({ step, position: 0, rating, flagged, ms: Math.round(ms) })); }

    // Ratings after the first negative one stay in this page, for undo; they are never sent.
    get rated() { return this.wire(this.end).filter(({ step }) => this.isAnswered(step)); }
    keep() { this.draft.keep({ ratings: this.rated, active: this.active, opened: this.opened }); }

    // --- the clock -------------------------------------------------------------------------------------------------------

    // Count the time since the last sign of life, up to IDLE, for the sitting and for the step in focus.
    tick() {
      const now = performance.now();
      const spent = Math.min(now - this.seen, IDLE);
      this.seen = now;
      this.active += spent;
      this.ratings[this.focus].ms += spent;
    }

    // --- what a labeler does ---------------------------------------------------------------------------------------------

    change(step, values) {
      if (this.busy) return false;
      const { rating, flagged } = this.ratings[step];
      this.history.push({ step, rating, flagged });
      Object.assign(this.ratings[step], values);
      this.paint(step);
      this.keep();
      return true;
    }

    rate(step, rating) {
      if (!this.change(step, { rating })) return;
      const next = this.missing.find((one) => one > step) ?? this.missing[0] ?? (rating === -1 ? step : Math.min(step + 1, this.steps.length - 1));
      announce(`Step ${step + 1} ${NAMES[rating]}.${this.missing.length ? "" : " Enter submits."}`);
      this.goTo(next);
    }

    flag(step) {
      const flagged = !this.ratings[step].flagged;
      if (this.change(step, { flagged })) announce(`Step ${step + 1} ${flagged ? "marked as unsure" : "not unsure any more"}.`);
    }

    undo() {
      if (this.busy) return;
      const last = this.history.pop();
      if (!last) return announce("There is nothing to undo.");
      Object.assign(this.ratings[last.step], { rating: last.rating, flagged: last.flagged });
      this.paint(last.step);
      this.keep();
      this.goTo(last.step);
      announce(`Undone at step ${last.step + 1}.`);
    }

    goTo(step, { scroll = true } = {}) {
      this.tick();
      const previous = this.steps[this.focus];
      this.focus = Math.max(0, Math.min(step, this.steps.length - 1));
      const element = this.steps[this.focus];
      for (const [one, index] of [[previous, -1], [element, 0]]) {
        one.tabIndex = index;
        one.toggleAttribute("data-focused", index === 0);
        for (const button of one.querySelectorAll("[data-rating]")) button.tabIndex = index;
      }
      element.focus({ preventScroll: true });
      if (scroll) element.scrollIntoView({ block: "nearest" });
    }

    // Steps after the first mistake can be read when unfolded, not rated, so the arrows stop at the mistake.
    move(by) { this.goTo(Math.min(this.focus + by, this.end - 1)); }

    // --- painting --------------------------------------------------------------------------------------------------------

    paint(step) { this.paintStep(step); this.paintRest(); }

    paintStep(step) {
      const element = this.steps[step], { rating, flagged } = this.ratings[step];
      element.dataset.rated = rating ?? "";
      element.toggleAttribute("data-flagged", flagged);
      shown($(".flag", element), flagged);
      for (const button of element.querySelectorAll("[data-rating]")) button.setAttribute("aria-pressed", String(Number(button.dataset.rating) === rating));
    }

    paintAll() {
      this.folded = undefined;
      this.steps.forEach((_, step) => this.paintStep(step));
      this.paintRest();
      this.goTo(this.missing[0] ?? this.end - 1);
    }

    // What depends on all steps: the fold behind a mistake, the progress, the word on what comes next.
    paintRest() {
      const { end, missing } = this, later = this.steps.length - end;
      if (this.folded !== end || this.foldedOpen !== this.unfolded) {
        for (let step = Math.min(this.folded ?? 0, end); step < this.steps.length; step += 1) {
          this.steps[step].toggleAttribute("data-beyond", step >= end);
          shown(this.steps[step], step < end || this.unfolded);
        }
        [this.folded, this.foldedOpen] = [end, this.unfolded];
      }
      shown($("[data-folded]", this.root), later > 0);
      $("[data-folded-text]", this.root).textContent = `${plural(later, "later step")} after the first mistake: not labeled.`;
      const unfold = $("[data-act=unfold]", this.root);
      unfold.textContent = this.unfolded ? "Hide" : "Show";
      unfold.setAttribute("aria-expanded", String(this.unfolded));

      const answered = end - missing.length;
      $("[data-progress-text]").textContent = `${answered} of ${plural(end, "step")}`;
      shown($("[data-progress]"), true);
      paintDots(this.ratings.slice(0, end));
      const ready = missing.length === 0;
      $("[data-submit]", this.root).toggleAttribute("data-ready", ready && !this.busy);
      $("[data-submit]", this.root).toggleAttribute("disabled", this.busy);
      $("[data-act=undo]", this.root).disabled = this.busy || this.history.length === 0;
      this.root.toggleAttribute("data-busy", this.busy);
      $("[data-next]", this.root).textContent = this.busy
        ? "Sending…"
        : ready ? (this.isMistakeFound ? `First mistake: step ${end}. Ready to submit.` : "No mistake to the end. Ready to submit.") : `${plural(missing.length, "step")} to rate.`;
    }

    // --- ending ----------------------------------------------------------------------------------------------------------

    submit() {
      if (this.busy) return;
      const [missing] = this.missing;
      if (missing !== undefined) {
        this.goTo(missing);
        announce(`Step ${missing + 1} is not rated yet.`);
        return this.steps[missing].animate?.([{ outlineOffset: "0px" }, { outlineOffset: "6px" }, { outlineOffset: "0px" }], 200);
      }
      this.finish(this.isMistakeFound ? "found_error" : "solution", "");
    }

    // Bad problem and give up keep what is rated from the first step on, without a gap.
    finish(finish_reason, reason) {
      this.tick();
      const whole = finish_reason === "solution" || finish_reason === "found_error";
      const ratings = this.wire(whole ? this.end : this.missing[0] ?? this.end);
      const total_ms = Math.max(Date.now() - this.opened, Math.ceil(this.active));
      this.hand(this.data.submitUrl, {
        ...(!this.isReopened && { token: Number(this.data.token) }), submission_id: newId(), ratings, finish_reason, reason, active_ms: Math.round(this.active), total_ms,
      });
    }

    skip(reason) { this.hand(this.data.skipUrl, { token: Number(this.data.token), reason }); }

    // From here on the same body is sent until it is acknowledged, over reloads too: the server stores it once.
    // The solution prepared ahead is put up at once; without one the page waits for the answer.
    hand(url, body) {
      this.draft.stop();
      this.busy = true;
      const next = ahead.take();
      const claim = next && { ahead: Number(next.dataset.assignment), ahead_token: Number(next.dataset.token) };
      outbox.add({ url, body: { ...body, ...claim }, key: this.key });
      if (next) {
        left = this;
        showNext(next, { isAhead: true });
      }
      deliver();
    }

    lock() { this.busy = true; this.paintRest(); }
    edit() { this.busy = false; this.load(); this.paintAll(); ahead.prepare(this.data); }

    // The lease is this labeler's now: what was rated so far is told to the server.
    confirm(seconds) {
      [this.data.leaseSeconds, this.leased, this.isAhead] = [seconds, performance.now(), false];
      this.draft.release();
      if (outbox.first) return; // this one is submitted too
      this.busy = false;
      this.paintRest();
      ahead.prepare(this.data);
    }
  }

  let isDelivering = false;
  const deliver = async () => {
    if (!sitting?.isAhead) sitting?.lock();
    if (isDelivering) return sitting?.lock();
    isDelivering = true;
    try {
      for (let sent; (sent = outbox.first); ) if (!(await deliverOne(sent))) break;
    } finally {
      isDelivering = false;
    }
  };

  const deliverOne = async (sent) => {
    showStatus("saving");
    try {
      const answer = await untilAcknowledged(() => post(sent.url, sent.body), { onFailure: () => showStatus("retrying") });
      outbox.drop(sent);
      store.drop(sent.key);
      left = null;
      countToday(sent.body);
      goOn(answer, sent);
      showStatus(sitting?.draft.isWaiting ? "saving" : "saved");
      return true;
    } catch (error) {
      if (!(error instanceof Stepmark.Refused)) throw error;
      if (![401, 403].includes(error.status)) outbox.clear(); // after a sign-in the same work is sent again; what came after it is a draft
      goBack();
      explain(error);
      return false;
    }
  };

  // --- around it ---------------------------------------------------------------------------------------------------------

  const begin = (options) => {
    const root = $("#work");
    sitting?.draft.stop();
    sitting = "work" in root.dataset ? new Sitting(root, options) : null;
    shown($("[data-progress]"), !!sitting);
    globalThis.htmx?.process(root);
    if (!sitting) return $("[data-first]", root).focus();
    shown($("#give_up [value=skip]"), !sitting.isReopened);
    sitting.paintAll();
    if (!sitting.isAhead && !outbox.first) ahead.prepare(sitting.data);
  };

  // Guidelines stay open or closed, and scrolled to where they were.
  const swap = (root) => {
    const mine = $("[data-guidelines]"), theirs = $("[data-guidelines]", root);
    if (mine && theirs) {
      const place = new Comment();
      mine.replaceWith(place);
      theirs.replaceWith(mine);
      place.replaceWith(theirs);
    }
    $("#work").replaceWith(root);
  };

  const showNext = (root, options) => {
    swap(root);
    begin(options);
    scrollTo(0, 0);
    if (sitting) announce(`Next solution, ${plural(sitting.steps.length, "step")}.`);
  };

  // A submit is stored. Its answer confirms the solution put up ahead, or brings another one where that was given on.
  const goOn = (answer, sent) => {
    if (answer.next) return location.assign(answer.next);
    if (typeof answer !== "string") {
      if (sitting && Number(sitting.data.assignment) === sent.body.ahead) return sitting.confirm(answer.seconds);
      if (!outbox.first) location.reload(); // the solution it confirms was on the page before a reload
      return;
    }
    const root = toWork(answer);
    if (sitting?.isAhead) {
      sitting.draft.isHeld = false;
      sitting.draft.flush(); // the server keeps it, for the case that the solution comes back
      if (root.dataset.assignment === sitting.data.assignment) store.set(keyOf(root), store.get(sitting.key));
    }
    showNext(root);
  };

  // A submit was refused after the next solution had been put up: bring its work back, and keep what was rated since.
  const goBack = () => {
    if (!left) return;
    sitting.draft.stop();
    ahead.putBack(sitting.root);
    swap(left.root);
    [sitting, left] = [left, null];
    sitting.paintAll();
  };

  const explain = (error) => Stepmark.explain(error, { edit: () => sitting?.edit() });

  // --- keys, clicks, dialogs ---------------------------------------------------------------------------------------------

  const openReason = (id) => {
    if (sitting?.busy) return;
    const dialog = document.getElementById(id);
    $("textarea", dialog).value = "";
    dialog.showModal();
  };

  const ACTS = {
    up: () => sitting.move(-1),
    down: () => sitting.move(1),
    first: () => sitting.goTo(0),
    last: () => sitting.goTo(sitting.end - 1),
    undo: () => sitting.undo(),
    unsure: () => sitting.flag(sitting.focus),
    submit: () => sitting.submit(),
    bad_problem: () => openReason("bad_problem"),
    give_up: () => openReason("give_up"),
    recent: () => { if (!sitting.busy && !sitting.isAhead && !sitting.isReopened) Stepmark.openRecent(); },
    unfold: () => { sitting.unfolded = !sitting.unfolded; sitting.paintRest(); },
  };
  const act = (name) => {
    if (name === "keys") return document.getElementById("keys").showModal();
    if (!sitting) return;
    if (name in RATINGS) sitting.rate(sitting.focus, RATINGS[name]);
    else ACTS[name]();
  };

  document.addEventListener("keydown", (event) => {
    sitting?.tick();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("dialog[open]")) return;
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const pressing = ["Enter", " "].includes(event.key) && event.target.closest("a, button, summary");
    const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (typing || pressing || !name) return;
    event.preventDefault();
    if (event.repeat && !["up", "down"].includes(name)) return; // a key held down must not rate a whole solution
    act(name);
  });

  document.addEventListener("click", (event) => {
    const rating = event.target.closest("[data-rating]"), step = event.target.closest("[data-step]");
    if (rating && sitting) return sitting.rate(Number(step.dataset.step), Number(rating.dataset.rating));
    const button = event.target.closest("[data-act], [data-submit]");
    if (button?.dataset.act === "close") return button.closest("dialog").close();
    if (button) {
      act(button.dataset.act || "submit");
      // After a click of the mouse the keys go on at the step, not at the button; who pressed it by key stays there.
      if (event.detail && sitting && ["undo", "unsure", "unfold"].includes(button.dataset.act)) sitting.goTo(sitting.focus, { scroll: false });
      return;
    }
    if (step && sitting && !getSelection().toString() && Number(step.dataset.step) < sitting.end) sitting.goTo(Number(step.dataset.step), { scroll: false });
  });

  for (const form of document.querySelectorAll("[data-reason-form]")) {
    const text = $("textarea", form);
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target !== text) return;
      event.preventDefault();
      form.requestSubmit($("button.primary", form));
    });
    form.addEventListener("submit", (event) => {
      const how = event.submitter.value, reason = text.value.trim();
      const long = how === "skip" && reason.length > LONGEST_SKIP_REASON;
      text.setCustomValidity(!reason ? "Say in a few words why." : long ? `At most ${LONGEST_SKIP_REASON} characters when you hand it on.` : "");
      if (!form.reportValidity()) return event.preventDefault();
      if (how === "skip") sitting.skip(reason);
      else sitting.finish(how, reason);
    });
    text.addEventListener("input", () => text.setCustomValidity(""));
  }

  for (const sign of ["pointermove", "pointerdown", "wheel", "touchmove"]) addEventListener(sign, () => sitting?.tick(), { passive: true });
  document.addEventListener("visibilitychange", () => {
    if (!sitting) return;
    if (!document.hidden) { sitting.seen = performance.now(); return; }
    sitting.tick();
    sitting.draft.flush();
  });
  addEventListener("pagehide", () => { sitting?.draft.flush(); ahead.leave(); });
  addEventListener("pageshow", (event) => { if (event.persisted && sitting && !sitting.busy) ahead.prepare(sitting.data); });

  // A second tab works on the same solution: take over what it rated, and go on when it has submitted.
  addEventListener("storage", (event) => {
    if (!sitting || sitting.busy) return;
    if (event.key === sitting.key && event.newValue) {
      const other = JSON.parse(event.newValue);
      if (other.revision <= sitting.draft.revision) return;
      sitting.draft.stop();
      sitting.load({ isOwn: false }); // the other tab tells the server
      sitting.paintAll();
    }
    if (event.key === outbox.key && !event.newValue) location.reload();
  });

  // Somebody at work keeps the solution: the lease is renewed before it runs out, and left to run out after they are gone.
  setInterval(() => {
    if (!sitting || sitting.busy || sitting.isAhead || sitting.isReopened || performance.now() - sitting.seen > IDLE) return;
    const lasts = Number(sitting.data.leaseSeconds) * 1000, held = sitting;
    if (performance.now() - sitting.leased < lasts / 2) return;
    sitting.leased = performance.now();
    post(sitting.data.extendUrl, { token: Number(sitting.data.token) }).then(({ seconds }) => { held.data.leaseSeconds = seconds; }).catch(() => {});
  }, 15_000);

  store.forgetOld();
  Stepmark.show($("#work"));
  begin();
  if (outbox.first) deliver(); // a reload came between a submit and its answer
})();
