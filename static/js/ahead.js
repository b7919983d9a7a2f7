// The next solution: reserved and rendered out of sight while this one is rated, so that it stands there the moment this one is
// submitted. What was prepared and never shown is given back when the page is left; what nobody gives back runs out by itself.
(() => {
  "use strict";
  const { post } = Stepmark;
  const DELAY = 300; // milliseconds: what is on the page goes first

  const toWork = (html) => {
    const root = document.adoptNode(new DOMParser().parseFromString(html, "text/html").getElementById("work"));
    Stepmark.show(root);
    return root;
  };

  class Ahead {
    root = null;
    isShown = false;
    timer = 0;

    // Without an answer, or with none left, the submit brings the next solution. `html`: what the answer to a submit brought along.
    prepare({ aheadUrl }, html = null) {
      clearTimeout(this.timer);
      if (this.root || !aheadUrl) return;
      const timer = this.timer = setTimeout(async () => {
        html ??= await post(aheadUrl, {}).catch(() => null);
        // Too late: the page went on without it. It is the same one that is reserved or leased next.
        if (typeof html !== "string" || timer !== this.timer || this.root) return;
        [this.root, this.isShown] = [toWork(html), false];
        document.getElementById("work").toggleAttribute("data-ahead-ready", true);
      }, DELAY);
    }

    take() {
      clearTimeout(this.timer);
      this.timer = 0;
      const { root } = this;
      this.root = null;
      return root;
    }

    putBack(root) { [this.root, this.isShown] = [root, true]; }

    // What was shown may hold ratings: it is left to run out.
    leave() {
      const root = this.take();
      if (root && !this.isShown) post(root.dataset.releaseUrl, { token: Number(root.dataset.token) }, { keepalive: true }).catch(() => {});
    }
  }

  Object.assign(Stepmark, { Ahead, toWork });
})();
