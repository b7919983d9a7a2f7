// The next solution is reserved and rendered out of sight while this one is rated. So it appears as soon as this one is submitted.
// A prepared solution that was never shown is released when the page is left. Without a release, its reservation expires.
(() => {
  "use strict";
  const { post } = Stepmark;
  const DELAY = 300; // milliseconds: the solution on the page comes first

  const toWork = (html) => {
    const root = document.adoptNode(new DOMParser().parseFromString(html, "text/html").getElementById("work"));
    Stepmark.show(root);
    return root;
  };

  class Ahead {
    root = null;
    isShown = false;
    timer = 0;

    // Without an answer, or if none is left, the submit brings the next solution. `html` comes from the answer to a submit.
    prepare({ aheadUrl }, html = null) {
      clearTimeout(this.timer);
      if (this.root || !aheadUrl) return;
      const timer = this.timer = setTimeout(async () => {
        html ??= await post(aheadUrl, {}).catch(() => null);
        // Too late: the page continued without it. The same solution is reserved or leased next.
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

    // A shown solution may have ratings, so its reservation is left to expire.
    leave() {
      const root = this.take();
      if (root && !this.isShown) post(root.dataset.releaseUrl, { token: Number(root.dataset.token) }, { keepalive: true }).catch(() => {});
    }
  }

  Object.assign(Stepmark, { Ahead, toWork });
})();
