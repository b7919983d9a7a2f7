// The labeling page: keys, focus and marks of one sitting after the other. Painting is optimistic; saving.js keeps the work.
// Hooks for tests and people's own scripts: [data-problem], [data-step="N"] (N counts from 0, as in the API), [data-rating], [data-submit], [data-status].
(() => {
  "use strict";
  const { store, newId, post, untilAcknowledged, showStatus, DraftKeeper } = Stepmark;
  const KEYS = {
    1: "negative", "-": "negative", 2: "neutral", 0: "neutral", 3: "positive", "=": "positive", "+": "positive",
    ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last", Backspace: "undo", u: "unsure", b: "bad_problem", g: "give_up", Enter: "submit", "?": "keys",
  };
  const RATINGS = { negative: -1, neutral: 0, positive: 1 };
  const NAMES = { [-1]: "negative", 0: "neutral", 1: "positive" };
  const IDLE = 60_000; // milliseconds without a sign of life after which the clock of active time stands still
  const MOST_DOTS = 30;
  const LONGEST_SKIP_REASON = 150;

  const $ = (selector, root = document) => root.querySelector(selector);
  const shown = (element, visible) => { element.hidden = !visible; };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const announce = (words) => { $("[data-announce]").textContent = words; };
  const { labeler: LABELER } = $("meta[name=csrf]").dataset; // two people may share a browser
  const OUTBOX = `stepmark.outbox.${LABELER}`;
  let sitting = null; // of the solution on the page; null: nothing to label

  // --- a sitting ---------------------------------------------------------------------------------------------------------

  class Sitting {
    constructor(root) {
      const { assignment, token } = root.dataset;
      this.root = root;
      this.data = root.dataset;
      this.steps = [...root.querySelectorAll("[data-step]")];
      this.key = `stepmark.draft.${LABELER}.${assignment}.${token}`;
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
        key: this.key, url: this.data.draftUrl, token: Number(this.data.token), revision: newest.revision, onRefused: explain,
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
        token: Number(this.data.token), submission_id: newId(), ratings, finish_reason, reason, active_ms: Math.round(this.active), total_ms,
      });
    }

    skip(reason) { this.hand(this.data.skipUrl, { token: Number(this.data.token), reason }); }

    // From here on the same body is sent until it is acknowledged, over reloads too: the server stores it once.
    hand(url, body) {
      this.draft.stop();
      store.set(OUTBOX, { url, body, key: this.key });
      deliver();
    }

    lock() { this.busy = true; this.paintRest(); }
    edit() { this.busy = false; this.load(); this.paintAll(); }
  }

  const deliver = async () => {
    const { url, body, key } = store.get(OUTBOX);
    sitting?.lock();
    showStatus("saving");
    try {
      const html = await untilAcknowledged(() => post(url, body), { onFailure: () => showStatus("retrying") });
      store.drop(OUTBOX);
      store.drop(key);
      showStatus("saved");
      countToday(body);
      showNext(html);
    } catch (error) {
      if (!(error instanceof Stepmark.Refused)) throw error;
      if (![401, 403].includes(error.status)) store.drop(OUTBOX); // after a sign-in the same work is sent again
      explain(error);
    }
  };

  // --- around it ---------------------------------------------------------------------------------------------------------

  const paintDots = (ratings) => {
    const place = $("[data-dots]");
    const many = ratings.length > MOST_DOTS;
    if (place.classList.toggle("bar", many) !== !!place.firstChild?.style.inlineSize) place.replaceChildren();
    if (many) {
      const done = ratings.filter((one) => one.rating !== null || one.flagged).length;
      place.replaceChildren(document.createElement("i"));
      place.firstChild.style.inlineSize = `${(100 * done) / ratings.length}%`;
      return;
    }
    while (place.children.length > ratings.length) place.lastChild.remove();
    while (place.children.length < ratings.length) place.append(document.createElement("i"));
    ratings.forEach((one, step) => { place.children[step].dataset.rated = one.rating ?? (one.flagged ? "unsure" : ""); });
  };

  const paintToday = () => {
    const { today, todayMs } = $("[data-today]").dataset;
    const each = (Number(todayMs) / Math.max(1, Number(today)) / 60_000).toFixed(1);
    $("[data-today-text]").textContent = Number(today) ? `today ${today} · ${each} min each` : "first one today";
  };
  const countToday = ({ submission_id, active_ms }) => {
    if (!submission_id) return;
    const place = $("[data-today]").dataset;
    place.today = Number(place.today) + 1;
    place.todayMs = Number(place.todayMs) + active_ms;
    paintToday();
  };

  const begin = () => {
    const root = $("#work");
    sitting?.draft.stop();
    sitting = "work" in root.dataset ? new Sitting(root) : null;
    shown($("[data-progress]"), !!sitting);
    globalThis.htmx?.process(root);
    Stepmark.show(root);
    if (!sitting) return $("[data-first]", root).focus();
    sitting.paintAll();
  };

  const showNext = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("work");
    const guidelines = $("[data-guidelines]"); // open or closed, scrolled to where they were
    $("#work").replaceWith(document.adoptNode(fresh));
    if (guidelines) $("[data-guidelines]")?.replaceWith(guidelines);
    begin();
    scrollTo(0, 0);
    if (sitting) announce(`Next solution, ${plural(sitting.steps.length, "step")}.`);
  };

  // --- trouble, in plain words -------------------------------------------------------------------------------------------

  const reload = () => location.reload();
  const TROUBLE = {
    lease_lost: ["This solution is no longer yours", "Nothing else is lost: all you submitted before is stored.", "Take the next solution", reload],
    submission_conflict: ["This was submitted before, with other ratings", "The ratings that arrived first are stored and stay as they are.", "Take the next solution", reload],
    signed_out: ["You are signed out", "Your ratings stay in this browser and are sent after you sign in here again.", "Sign in", reload],
    csrf: ["This page is too old", "Your ratings stay in this browser and are there again after the reload.", "Reload the page", reload],
    not_found: ["This solution is not open to you", "What you submitted before is stored.", "Take the next solution", reload],
  };

  const explain = (error) => {
    const [title, work, on, act] = TROUBLE[error.code] || ["These ratings were not taken", "They are still on this page: mend them and submit again.", "Back to the ratings", () => sitting?.edit()];
    const dialog = $("#trouble");
    $("[data-trouble-title]").textContent = title;
    $("[data-trouble-text]").textContent = error.message || (error.code === "csrf" ? "You signed in or out since it was opened, so the server does not trust it any more." : "");
    $("[data-trouble-work]").textContent = work;
    shown($("[data-trouble-back]"), false);
    const button = $("[data-trouble-on]");
    button.textContent = on;
    button.onclick = () => { dialog.close(); act(); };
    dialog.oncancel = (event) => event.preventDefault(); // there is one way on, and it is the button
    if (!dialog.open) dialog.showModal();
    button.focus();
  };

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
  addEventListener("pagehide", () => sitting?.draft.flush());

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
    if (event.key === OUTBOX && !event.newValue) location.reload();
  });

  // Somebody at work keeps the solution: the lease is renewed before it runs out, and left to run out after they are gone.
  setInterval(() => {
    if (!sitting || sitting.busy || performance.now() - sitting.seen > IDLE) return;
    const lasts = Number(sitting.data.leaseSeconds) * 1000, held = sitting;
    if (performance.now() - sitting.leased < lasts / 2) return;
    sitting.leased = performance.now();
    post(sitting.data.extendUrl, { token: Number(sitting.data.token) }).then(({ seconds }) => { held.data.leaseSeconds = seconds; }).catch(() => {});
  }, 15_000);

  paintToday();
  store.forgetOld();
  begin();
  if (store.get(OUTBOX)) deliver(); // a reload came between a submit and its answer
})();
