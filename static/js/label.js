// The labeling page around its sittings: delivery of submissions, the next solution, keys and clicks.
(() => {
  "use strict";
  const { store, post, untilAcknowledged, showStatus, Outbox, Ahead, toWork, countToday, IDLE, $, shown, announce, keyOf, LABELER } = Stepmark;
  const RATINGS = { negative: -1, neutral: 0, positive: 1 };
  const SOON = 3000, LATER = 60_000; // milliseconds

  const outbox = new Outbox(LABELER);
  const ahead = new Ahead();
  let sitting = null; // of the solution on the page; null: nothing to label
  let left = null; // the sitting before it, while its submit is on the way

  // --- delivery ---

  // From now on the same body is sent until it is acknowledged, even after reloads. The server stores it once.
  // A solution prepared ahead is shown at once. Without one the page waits for the answer.
  Stepmark.hand = (sent, url, body) => {
    sent.draft.stop();
    sent.busy = true;
    const next = ahead.take();
    const claim = next && { ahead: Number(next.dataset.assignment), ahead_token: Number(next.dataset.token) };
    outbox.add({ url, body: { ...body, ...claim }, key: sent.key });
    if (next) {
      left = sent;
      showNext(next, { isAhead: true });
    }
    deliver();
  };

  let isDelivering = false;
  const deliver = async () => {
    if (sitting && outbox.holds(sitting.key)) sitting.draft.stop(); // the submit contains everything, and a later draft would be refused
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
      const answer = await untilAcknowledged(() => post(sent.url, sent.body), { onFailure: (error) => showStatus("retrying", error.message) });
      outbox.drop(sent);
      store.drop(sent.key);
      left = null;
      if (!answer.includes?.('data-feedback="')) countToday(sent.body); // practice is no work
      goOn(answer, sent);
      showStatus(sitting?.draft.isWaiting ? "saving" : "saved");
      return true;
    } catch (error) {
      if (!(error instanceof Stepmark.Refused)) throw error;
      if (![401, 403].includes(error.status)) outbox.clear(); // after a sign-in the same work is sent again; later work is a draft
      goBack();
      explain(error);
      return false;
    }
  };

  // --- around it ---

  const begin = (options) => {
    const root = $("#work");
    sitting?.draft.stop();
    sitting = null;
    if (!options?.isAhead) ahead.take(); // it may be this solution: a submit in another tab may have leased it
    if (outbox.hasDelivered(keyOf(root), { since: performance.timeOrigin })) return location.reload(); // requested before the submit of another tab arrived
    shown($("[data-progress]"), "work" in root.dataset);
    Stepmark.showKeys(root);
    globalThis.htmx?.process(root);
    sitting = "work" in root.dataset ? new (Stepmark[root.dataset.kind])(root, options) : null;
    if (!sitting) return $("[data-first]", root).focus();
    shown($("#give_up [value=skip]"), !sitting.isReopened);
    sitting.load();
    sitting.paintAll();
    prepare();
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
    if (sitting) announce(sitting.greeting);
  };

  // A submit is stored. Its answer confirms the solution shown ahead, or brings another one if that one went to somebody else.
  const goOn = (answer, sent) => {
    if (answer.next) return location.assign(answer.next);
    if (typeof answer !== "string") {
      if (sitting && Number(sitting.data.assignment) === sent.body.ahead) {
        sitting.confirm(answer.seconds);
        if (!outbox.first) sitting.unlock(); // otherwise this one is submitted too
        return prepare(answer.ahead);
      }
      if (!outbox.first) location.reload(); // the page was reloaded after it showed the confirmed solution
      return;
    }
    const root = toWork(answer);
    if (sitting?.isAhead) {
      sitting.draft.isHeld = false;
      sitting.draft.flush(); // the server keeps it, in case the solution comes back
      const said = store.get(sitting.key); // null: nothing is rated yet
      if (said && root.dataset.assignment === sitting.data.assignment) store.set(keyOf(root), said);
    }
    showNext(root);
  };

  // A submit was refused after the next solution was shown. Bring its work back, and keep the ratings made since then.
  const goBack = () => {
    if (!left) return;
    sitting.draft.stop();
    ahead.putBack(sitting.root);
    swap(left.root);
    [sitting, left] = [left, null];
    sitting.paintAll();
  };

  const prepare = (html) => { if (!sitting.isAhead && !outbox.first) ahead.prepare(sitting.data, html); };
  const explain = Stepmark.explainHere = (error) => Stepmark.load("trouble").then((isThere) => (isThere
    ? Stepmark.explain(error, { edit: () => { sitting?.edit(); prepare(); } })
    : setTimeout(() => explain(error), SOON)));

  // --- keys, clicks, dialogs ---

  const openReason = (id) => {
    if (sitting?.busy) return;
    const dialog = document.getElementById(id);
    $("textarea", dialog).value = $(`[data-reason-of=${id}]`)?.textContent ?? ""; // of a reopened submission that ended like this
    dialog.showModal();
  };

  const ACTS = {
    up: () => sitting.move(-1),
    down: () => sitting.move(1),
    first: () => sitting.goTo(sitting.places[0]),
    last: () => sitting.goTo(sitting.places.at(-1)),
    undo: () => sitting.undo(),
    unsure: () => sitting.flagHere(),
    submit: () => sitting.submit(),
    write: () => Stepmark.openWriting?.(sitting),
    remove: () => { if (sitting.writing?.text !== undefined) sitting.write(undefined); },
    bad_problem: () => openReason("bad_problem"),
    give_up: () => openReason("give_up"),
    recent: () => { if (!sitting?.busy && !sitting?.isAhead && !sitting?.isReopened) Stepmark.load("recent").then(() => Stepmark.openRecent()); },
    retry: () => sitting.retry(),
    calculate: () => { if ($("#calculator")) Stepmark.load("calculator").then((isThere) => isThere && Stepmark.openCalculator(sitting)); },
    unfold: () => { sitting.unfolded = !sitting.unfolded; sitting.paintRest(); },
  };
  const act = (name) => {
    if (name === "keys") return Stepmark.load("reading"), document.getElementById("keys").showModal();
    if (!sitting && name !== "recent") return; // when all is done, a submission can still be reopened
    if (name in RATINGS) sitting.rate(sitting.focus, RATINGS[name]);
    else ACTS[name]();
  };

  document.addEventListener("keydown", (event) => {
    sitting?.tick();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("dialog[open]")) return;
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const pressing = ["Enter", " "].includes(event.key) && event.target.closest("a, button, summary");
    if (typing?.matches("[data-wrong]") && ["Enter", "Escape"].includes(event.key)) return sitting.goTo(sitting.focus); // finished: the keys rate again
    const name = Stepmark.actOf(event);
    if (typing || pressing || !name) return;
    event.preventDefault();
    if (event.repeat && !["up", "down"].includes(name)) return; // holding a key down must not rate a whole solution
    act(name);
  });

  document.addEventListener("click", (event) => {
    const rating = event.target.closest("[data-rating]"), button = event.target.closest("[data-act], [data-submit]"), text = sitting?.textAt(event.target);
    if (rating) return sitting?.rate(text, Number(rating.dataset.rating));
    if (button?.dataset.act === "close") return button.closest("dialog").close();
    if (button) {
      if (text && sitting.places.includes(text)) sitting.goTo(text, { scroll: false }); // the button belongs to this text
      act(button.dataset.act || "submit");
      // After a mouse click the focus returns to the text. After a key press it stays on the button.
      if (event.detail && sitting && ["undo", "unsure", "unfold"].includes(button.dataset.act)) sitting.goTo(sitting.focus, { scroll: false, rated: sitting.rated });
      return;
    }
    if (!event.detail && event.target.closest("summary")) return; // opened by a key: the focus stays there
    if (text && !getSelection().toString() && sitting.places.includes(text)) sitting.goTo(text, { scroll: false });
  });

  // Thoughts in a text can be folded. The step whose fold has the focus is the one that the keys rate.
  document.addEventListener("focusin", ({ target }) => {
    const text = target.matches("summary") && sitting?.textAt(target);
    if (!text || text === sitting.focus || !sitting.places.includes(text)) return;
    sitting.goTo(text, { scroll: false });
    target.focus();
  });

  const LONGEST_SKIP_REASON = 150; // characters
  for (const form of document.querySelectorAll("[data-words-form]")) {
    const { text } = form.elements;
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target !== text) return;
      event.preventDefault();
      form.requestSubmit($("button.primary", form));
    });
    form.addEventListener("input", () => text.setCustomValidity(""));
    if (text.required) form.addEventListener("submit", (event) => { // a reason
      const how = event.submitter.value, reason = text.value.trim();
      const long = how === "skip" && reason.length > LONGEST_SKIP_REASON;
      event.preventDefault();
      text.setCustomValidity(!reason ? "Give a reason in a few words." : long ? `Use at most ${LONGEST_SKIP_REASON} characters to pass it on.` : "");
      if (!form.reportValidity()) return;
      form.closest("dialog").close(); // first, because it restores the focus
      if (how === "skip") sitting.skip(reason);
      else sitting.finish(how, reason);
    });
  }

  for (const sign of ["pointermove", "pointerdown", "wheel", "touchmove"]) addEventListener(sign, () => sitting?.tick(), { passive: true });
  document.addEventListener("visibilitychange", () => {
    if (!sitting) return;
    if (!document.hidden) { sitting.seen = performance.now(); return; }
    sitting.tick();
    sitting.draft.flush();
  });
  addEventListener("pagehide", () => { sitting?.draft.flush(); ahead.leave(); });
  addEventListener("pageshow", (event) => { if (event.persisted && sitting && !sitting.busy) prepare(); });

  // A second tab works on the same solution: take over its ratings, and continue after its submit.
  addEventListener("storage", ({ key, newValue }) => {
    if (!sitting || sitting.busy) return;
    if (key === sitting.key && newValue) {
      if (JSON.parse(newValue).revision <= sitting.draft.revision) return;
      sitting.load();
      sitting.paintAll();
    }
    if (!key?.startsWith(outbox.prefix)) return;
    if (!newValue && !outbox.first) location.reload();
    if (newValue && outbox.holds(sitting.key)) deliver(); // that tab may close before its submit arrives; a submit that arrives twice is stored once
  });

  // While somebody works, the lease is extended before it expires.
  setInterval(() => {
    if (!sitting || sitting.busy || sitting.isAhead || sitting.isReopened || performance.now() - sitting.seen > IDLE) return;
    const lasts = Number(sitting.data.leaseSeconds) * 1000, held = sitting;
    if (performance.now() - sitting.leased < lasts / 2) return;
    sitting.leased = performance.now();
    post(sitting.data.extendUrl, { token: Number(sitting.data.token) }).then(({ seconds }) => { held.data.leaseSeconds = seconds; }).catch(() => {});
  }, 15_000);

  // The search script is loaded when the guidelines are opened for the first time.
  document.addEventListener("toggle", ({ target }) => { if (target.open && target.matches("[data-guidelines]")) Stepmark.load("guidelines"); }, { capture: true });

  store.forgetOld();
  Stepmark.showKeys(document);
  Stepmark.show($("#work"));
  Stepmark.here = () => sitting;
  begin();
  setTimeout(() => ["trouble", "rest"].forEach(Stepmark.load), LATER); // not needed in the first minute
  if (outbox.first) deliver(); // a reload came between a submit and its answer
})();
