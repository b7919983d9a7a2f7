// Saves what a labeler does: first in this browser, then on the server, repeated until the server has it.
// Drafts and submissions stay in localStorage until they are acknowledged. A reload, a closed tab or a lost network loses nothing.
(() => {
  "use strict";
  const Stepmark = (globalThis.Stepmark ||= {});
  const DRAFT_DELAY = 300, SAVING_WORD_DELAY = 800, RETRY_FIRST = 1000, RETRY_MOST = 20_000, TIMEOUT = 20_000; // milliseconds
  const KEEP_DAYS = 14, KEEP_DELIVERED = 20;
  const WORDS = { saved: "Saved", saving: "Saving…", retrying: "Not saved yet, retrying" };

  // --- the browser's own copy ---

  const memory = new Map(); // if storage is closed or full, the copy lives as long as the page
  const store = {
    get(key) { try { return JSON.parse(memory.get(key) ?? localStorage.getItem(key)); } catch { return null; } },
    set(key, value) {
      const text = JSON.stringify(value);
      try { localStorage.setItem(key, text); memory.delete(key); } catch { memory.set(key, text); }
    },
    share(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* closed: no other tab can see it */ } },
    drop(key) { memory.delete(key); try { localStorage.removeItem(key); } catch { /* closed */ } },
    keys(prefix) {
      let names = [];
      try { names = Object.keys(localStorage); } catch { /* closed */ }
      return [...names, ...memory.keys()].filter((name) => name.startsWith(prefix));
    },
    forgetOld() {
      for (const key of this.keys("stepmark.draft.")) if (Date.now() - (this.get(key)?.at || 0) > KEEP_DAYS * 86_400_000) this.drop(key);
    },
    get isClosed() { return memory.size > 0; },
  };

  // A random UUID. crypto.randomUUID works only on https and localhost.
  const newId = () => "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
    (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));

  // --- the server ---

  // Refused for good, with the server's code and message.
  class Refused extends Error {
    constructor(status, code, message) { super(message); Object.assign(this, { status, code }); }
  }
  // No answer, or an answer that means "try again".
  class Unreachable extends Error {}

  // Read the cookie, not the page: a sign-in in another tab renews the cookie.
  const csrf = () => {
    const meta = document.querySelector("meta[name=csrf]");
    const cookie = document.cookie.split("; ").find((one) => one.startsWith(`${meta.dataset.cookie}=`));
    return cookie ? decodeURIComponent(cookie.slice(cookie.indexOf("=") + 1)) : meta.content;
  };

  const post = async (url, body, { signal, keepalive = false } = {}) => {
    const timeout = AbortSignal.timeout(TIMEOUT);
    let response;
    try {
      response = await fetch(url, {
        method: "POST", credentials: "same-origin", keepalive, signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        headers: { "Content-Type": "application/json", Accept: "application/json, text/html", "X-CSRFToken": csrf() }, body: JSON.stringify(body),
      });
      if (response.ok) return response.headers.get("Content-Type").includes("json") ? await response.json() : await response.text();
    } catch (error) {
      throw signal?.aborted ? error : new Unreachable();
    }
    const refusal = await response.json().catch(() => ({}));
    if (response.status >= 500 || [408, 429].includes(response.status)) throw new Unreachable(refusal.message);
    throw new Refused(response.status, refusal.code || (response.status === 403 ? "csrf" : "refused"), refusal.message || "");
  };

  // Repeat until acknowledged or refused: after 1 s, 2 s, ... 20 s, or at once when the network comes back.
  const untilAcknowledged = async (send, { onFailure, signal }) => {
    for (let wait = RETRY_FIRST; ; wait = Math.min(2 * wait, RETRY_MOST)) {
      try {
        return await send();
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        onFailure(error);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(done, wait * (0.75 + Math.random() / 2)); // random, because many labelers may lose the network together
        function done() { clearTimeout(timer); removeEventListener("online", done); signal?.removeEventListener("abort", done); resolve(); }
        addEventListener("online", done);
        signal?.addEventListener("abort", done);
      });
      signal?.throwIfAborted();
    }
  };

  // --- what the page shows of it ---

  let wordTimer = 0, since = 0;
  // why: what the server said
  const showStatus = (status, why) => {
    const long = document.querySelector("[data-long]");
    if (why != null) { since ||= Date.now(); long.firstChild.textContent = why || long.dataset.long; }
    if (status === "saved") since = 0;
    long.hidden = !since || Date.now() - since < long.dataset.after;
    const place = document.querySelector("[data-status]");
    const word = place.querySelector("[data-status-text]");
    place.dataset.status = status;
    clearTimeout(wordTimer);
    const say = () => { if (word.textContent !== WORDS[status]) word.textContent = WORDS[status]; };
    // A fast save is not announced. Otherwise a screen reader would speak after every key.
    if (status === "saving") wordTimer = setTimeout(say, SAVING_WORD_DELAY);
    else say();
  };

  // --- what is submitted and not acknowledged ---

  // Submissions in their order, even after reloads. Each waits for the one before it, because that answer confirms its lease. Each has its
  // own key, because two tabs may add and drop at the same time.
  class Outbox {
    constructor(labeler) { [this.prefix, this.deliveredKey] = [`stepmark.outbox.${labeler}.`, `stepmark.delivered.${labeler}`]; }
    get all() { return store.keys(this.prefix).sort().map((place) => ({ ...store.get(place), place })); }
    get first() { return this.all[0]; }
    add(sent) { store.set(`${this.prefix}${Date.now()}.${newId()}`, sent); }
    holds(key) { return this.all.some((sent) => sent.key === key); }

    // A page that another tab requested earlier would offer the work again. So delivered work is remembered for a while.
    drop({ place, key }) {
      const last = Object.entries(store.get(this.deliveredKey) || {}).slice(1 - KEEP_DELIVERED);
      store.share(this.deliveredKey, Object.fromEntries([...last.filter(([one]) => one !== key), [key, Date.now()]]));
      store.drop(place);
    }
    hasDelivered(key, { since }) { return store.get(this.deliveredKey)?.[key] > since; }

    clear() { for (const { place } of this.all) store.drop(place); }
  }

  // --- the draft of one sitting ---

  // Keeps {ratings, ...} of one claim. `onRefused` is called when the server refuses the draft.
  class DraftKeeper {
    // isHeld: kept only in the browser until release(): the assignment is reserved.
    constructor({ key, url, token, revision, onRefused, isHeld = false }) {
      Object.assign(this, { key, url, token, revision, onRefused, isHeld, stopped: new AbortController(), sending: false, timer: 0 });
    }

    // Write the browser's copy now, with a new revision.
    keep(state) {
      this.revision += 1;
      store.set(this.key, { ...state, revision: this.revision, at: Date.now() });
      this.owe(state.ratings);
    }

    // Send the ratings soon, with their revision. Also those of another tab, which can close before it sends them.
    owe(ratings) {
      this.unsent = ratings;
      if (!this.url) return; // a correction is kept only in this browser until it is submitted
      showStatus(document.querySelector("[data-status]").dataset.status === "retrying" ? "retrying" : "saving");
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.send(), DRAFT_DELAY);
    }

    async send() {
      if (this.isHeld || this.sending || !this.unsent || this.stopped.signal.aborted) return;
      this.sending = true;
      let sent = 0;
      try {
        await untilAcknowledged(() => {
          sent = this.revision; // a retry sends the newest
          return post(this.url, { token: this.token, revision: sent, ratings: this.unsent }, { signal: this.stopped.signal });
        }, { onFailure: (error) => showStatus("retrying", error.message), signal: this.stopped.signal });
        if (sent === this.revision) { this.unsent = null; showStatus("saved"); }
      } catch (error) {
        if (this.stopped.signal.aborted) return;
        this.stop();
        this.onRefused(error);
      } finally {
        this.sending = false;
      }
      if (this.unsent) this.send();
    }

    get isWaiting() { return !!this.unsent && !this.stopped.signal.aborted; }
    release() { this.isHeld = false; this.send(); }

    // The page closes: one last request that survives it. The browser's copy stays.
    flush() {
      if (this.isHeld || !this.unsent || this.stopped.signal.aborted) return;
      post(this.url, { token: this.token, revision: this.revision, ratings: this.unsent }, { keepalive: true }).catch(() => {});
    }

    stop() { clearTimeout(this.timer); this.stopped.abort(); }
  }

  Object.assign(Stepmark, { store, newId, post, untilAcknowledged, showStatus, DraftKeeper, Outbox, Refused });

  addEventListener("beforeunload", (event) => { if (store.isClosed) event.preventDefault(); });
})();
