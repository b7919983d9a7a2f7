// What a formula needs besides KaTeX: translations of LaTeX that KaTeX does not know, limits, and slices for thousands of formulas. Loaded with the first
// formula or very long text.
(() => {
  "use strict";
  // Translations of LaTeX that KaTeX does not know. Gaps between columns and the length of a line may differ; no symbol changes.
  const BRACED = "\\{(?:[^{}]|\\{(?:[^{}]|\\{[^{}]*\\})*\\})*\\}";
  const MENDED = [
    [/\\(begin|end)\{eqnarray\*?\}/g, (_, side) => (side === "begin" ? "\\begin{array}{rcl}" : "\\end{array}")],
    [/\\(begin|end)\{multline\*?\}/g, "\\$1{gather*}"],
    [new RegExp(`(\\\\begin\\{array\\})(${BRACED})`, "g"), (_, begin, columns) => begin + columns.replace(new RegExp(`[@!]${BRACED}`, "g"), "")],
    [/\\multicolumn\{([1-9])\}\{[^{}]*\}/g, (_, count) => "&".repeat(count - 1)],
    [/\\cline\{[^{}]*\}/g, "\\hline"],
    [/\\(?:vspace\*?|label)\{[^{}]*\}/g, ""],
    // Colours: white on white is hidden, and blue on a dark page cannot be read.
    [/\\(?:text)?color\s*(?:\[[^\][]*\]\s*)?\{[^{}]*\}/g, ""],
    [/\\(?:colorbox\s*\{[^{}]*\}|fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\})/g, "\\fbox"],
    [/\\root\s*(\{[^{}]*\}|[^\s\\{}])\s*\\of/g, "\\sqrt[$1]"],
    [/([_^])(\\(?:vec|overline|bar|hat|widehat|tilde|sqrt)\{[^{}]*\})/g, "$1{$2}"],
    [/(?<!\\)\$(?=[\d.])(?![^{}]*\$)/g, "\\$"], // an amount: "\boxed{$5}"
    [/(\d ?)%(?!\n)/g, "$1\\%"], // a percentage, not a comment
    [/\\text\{[^{}$]*\}/g, (text) => text.replace(/\\?_/g, "\\_")],
  ];
  const MACROS = {
    "\\mbox": "\\text{#1}", "\\indent": "\\quad", "\\overarc": "\\overgroup{#1}", "\\cancelto": "\\cancel{#2}^{#1}", "\\arraystretch": "1",
  };
  // Limits against formulas that grow without end. With definitions TeX can double a text again and again, and no formula needs them.
  const MOST_CHARACTERS = 2000, DEEPEST = 60, MOST_CELLS = 400;
  const BOX = /\\(?:boxed|fbox|f?colorbox)(?![A-Za-z])/g, MOST_BOXES = 20; // Chromium lays out 59 nested boxes in a second
  const STRETCH = /\\renewcommand\s*\{?\\arraystretch\}?\s*\{[0-4](?:\.\d+)?\}/g;
  const DEFINES = /\\(?:[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|global|long)(?![A-Za-z])/;
  const OPENS = /\\(?:begin|left)(?![A-Za-z])|(?<!\\)\{/, NESTS = /\\(?:begin|left|end|right)(?![A-Za-z])|(?<!\\)[{}]/g;
  const depthOf = (body) => {
    let depth = 0, deepest = 0;
    for (const [sign] of body.matchAll(NESTS)) deepest = Math.max(deepest, (depth += OPENS.test(sign) ? 1 : -1));
    return deepest;
  };
  // What shows less than it says: KaTeX does not trust links, images and HTML, and shows only their command. What moves its parts far covers others.
  const UNTRUSTED = /\\(?:href|url|includegraphics|html[A-Z][a-z]+)(?![A-Za-z])/, COLOURED = /\\(?:text|f)?color/;
  const LENGTH = /\\(?:[hm]skip|hspace\*?|m?kern|raisebox|rule\s*\[|\\\s*\[)\s*\{?\s*([-+]?)\s*(\d*\.?\d+)\s*(mu|[a-z]{2})/g;
  const COVERS = /\\(?:math)?[lr]lap\s*\{[^{}]{3}|\\clap\s*\{[^{}]{3}|(?:\\!\s*){13}|(?:\\neg\w+space\s*){6}/;
  const EMS = { mu: 1 / 18, ex: 0.43, pt: 0.1, bp: 0.1, sp: 0, mm: 0.28, cm: 2.8, in: 7.2 }, FARTHEST = 2; // a length of another unit counts as em
  const goesFar = (body) => {
    let sum = 0;
    for (const [command, sign, number, unit] of body.matchAll(LENGTH)) if (sign === "-" || command.startsWith("\\raise")) sum += number * (EMS[unit] ?? 1);
    return sum > FARTHEST || COVERS.test(body);
  };
  const refuse = (body) => {
    if (body.length > MOST_CHARACTERS) throw new Error(`it is longer than ${MOST_CHARACTERS} characters`);
    if (depthOf(body) > DEEPEST) throw new Error(`it is nested deeper than ${DEEPEST} levels`);
    if (depthOf(body) > MOST_BOXES && body.match(BOX)?.length > MOST_BOXES) throw new Error(`it has more than ${MOST_BOXES} nested boxes`);
    if ((body.match(/&|\\\\/g) || []).length > MOST_CELLS) throw new Error(`it has more than ${MOST_CELLS} cells`);
    if (DEFINES.test(body.replace(STRETCH, ""))) throw new Error("it defines commands");
    if (UNTRUSTED.test(body)) throw new Error("it contains a link, an image or HTML");
    if (goesFar(body)) throw new Error(`it moves its parts by more than ${FARTHEST} em, so they can cover others`);
    if (COLOURED.test(mend(body))) throw new Error("it contains colours that cannot be left out");
  };
  const mend = (body) => MENDED.reduce((text, [pattern, words]) => text.replace(pattern, words), body);

  const LIMITS = { trust: false, maxExpand: 200, maxSize: 20, throwOnError: true, strict: "ignore" };
  // Render one formula with `set`, which calls KaTeX's render or renderToString. Throws if the source must be shown instead.
  const setFormula = (part, set) => (refuse(part.body), set(mend(part.body), { ...LIMITS, macros: { ...MACROS }, displayMode: part.kind === "display" }));
  const { drawn } = Stepmark;

  const set = (place, part) => {
    const made = document.createElement("span");
    try {
      setFormula(part, (body, options) => katex.render(body, made, options));
      place.replaceChildren(made);
      place.title = part.source;
      if (part.kind === "display") Stepmark.watch(place, "Wide formula");
    } catch (error) {
      place.classList.add("broken");
      place.title = `This formula cannot be shown: ${error.message}`;
    }
    return made.getElementsByTagName("*").length;
  };

  // --- long texts ---

  // The browser lays out a paragraph as a whole. With thousands of formulas or marks in it, that takes seconds. So such a paragraph is shown in parts.
  // Each part is laid out by itself, and only near the window. It ends where a line ends, if the text has lines.
  const LONG = 300, LEAST = 60, USUAL = 100, MOST = 150; // nodes of a paragraph (the collections have at most 76 formulas in a text), of a part
  const HOLDS_BLOCKS = "ul, ol, li, table, thead, tbody, tr, blockquote, details, .prose";
  const PART = "display: block; content-visibility: auto; contain-intrinsic-size: auto 8em";
  const cutText = (node, at, leaves) => {
    const place = leaves.findIndex((leaf) => leaf[0] === node), [, from, to] = leaves[place], rest = node.splitText(at);
    leaves.splice(place, 1, [node, from, from + at], [rest, from + at, to]);
    return rest;
  };
  const divide = (parent, leaves) => {
    const nodes = [...parent.childNodes], parts = [];
    let part = null, count = 0;
    parent.replaceChildren(); // all at once: with dir="auto" each change of its nodes would search all of them for letters
    for (let node of nodes) {
      const isText = node.nodeType === Node.TEXT_NODE, end = isText && part && count >= LEAST ? node.data.indexOf("\n") + 1 : 0;
      if (end) {
        const rest = end < node.data.length ? cutText(node, end, leaves) : null;
        part.append(node);
        part = null;
        if (!(node = rest)) continue;
      }
      if (!part) {
        parts.push(part = Object.assign(document.createElement("span"), { className: "part", style: PART }));
        count = 0;
      }
      part.append(node);
      count++;
      if (count >= MOST || (count >= LEAST && node.className === "gap") || (count >= USUAL && isText && node.data.endsWith(" "))) part = null;
    }
    parent.append(...parts);
  };
  const drawLong = (element, root, leaves) => {
    if (drawn.get(element).leaves !== leaves) return; // it was drawn again meanwhile
    for (const parent of [root, ...root.querySelectorAll("*")]) {
      if (parent.childNodes.length > LONG && !(parent.matches?.(HOLDS_BLOCKS))) divide(parent, leaves);
    }
    element.replaceChildren(root);
  };

  // --- slices ---

  // A normal solution is set at once, before it is painted. Thousands of formulas are set in slices. After each of them the browser answers keys and paints.
  // The number of elements counts too, since their layout takes longer than KaTeX.
  const SLICE = 40, FIRST_ELEMENTS = 4000, MOST_ELEMENTS = 1000; // milliseconds; elements of a slice
  const TEXT = "[data-text], [data-answer], [data-brief]";
  const waiting = new Map(); // a part, or a text in one piece -> its formulas that are not set yet
  const gone = new WeakMap(); // what is left to do for a solution that was replaced. It is not written to, unless it comes back.
  const arrived = [];
  let isRunning = false;

  const returned = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      returned.unobserve(target);
      const left = gone.get(target) ?? [];
      gone.delete(target);
      for (const goOn of left) goOn();
    }
  });
  const putAside = (target, left) => {
    gone.set(target, [...(gone.get(target) ?? []), ...left]);
    returned.observe(target);
  };
  // 0: in the window, 1: near, 2: elsewhere on the page, 3: prepared and not shown yet, null: replaced
  const rankOf = (holder) => {
    const text = drawn.get(holder.closest(TEXT));
    if (!holder.isConnected) return text?.isShown === false ? 3 : null;
    if (text) text.isShown = true;
    if (!holder.checkVisibility({ contentVisibilityAuto: true })) return 2;
    const { top, bottom } = holder.getBoundingClientRect();
    return bottom > 0 && top < innerHeight ? 0 : 1;
  };
  const inOrder = () => {
    for (const one of arrived.splice(0)) {
      const holder = one[0].closest(".part") ?? one[0].closest(TEXT);
      if (!holder) continue; // its text was drawn again meanwhile
      if (!waiting.has(holder)) waiting.set(holder, []);
      waiting.get(holder).push(one);
    }
    const ranked = [];
    for (const [holder, formulas] of waiting) {
      const rank = rankOf(holder);
      if (rank !== null) ranked.push([rank, holder, formulas]);
      else {
        waiting.delete(holder);
        putAside(holder, formulas.map((one) => () => setSoon(...one)));
      }
    }
    return ranked.sort(([one], [other]) => one - other);
  };
  // Without the frame the layout of many slices would be one task.
  const pause = async () => {
    await new Promise(requestAnimationFrame);
    await (globalThis.scheduler?.yield ? scheduler.yield() : new Promise((goOn) => { setTimeout(goOn); }));
  };

  // The texts of a long page are shown when they come near, some in each turn, those on the page first.
  const later = []; // {element, work, isShown}
  let isBusy = false;
  const doNext = () => {
    for (const one of later) one.isShown ||= one.element.isConnected;
    const place = Math.max(0, later.findIndex(({ element }) => element.isConnected)), [{ element, work, isShown }] = later.splice(place, 1);
    if (isShown && !element.isConnected) return putAside(element, [() => workLater(element, work)]);
    element.ariaBusy = null;
    return work();
  };
  const workLater = async (element, work) => {
    element.ariaBusy = "true";
    later.push({ element, work, isShown: element.isConnected });
    if (isBusy) return;
    isBusy = true;
    try {
      for (await pause(); later.length; await pause()) {
        const until = performance.now() + SLICE;
        do doNext(); while (later.length && performance.now() < until);
      }
    } finally {
      isBusy = false;
    }
  };

  let showText = null;
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      workLater(target, () => showText(target));
    }
  }, { rootMargin: "1200px" });
  const showNear = (texts, show) => {
    showText = show;
    texts.forEach((element) => near.observe(element));
  };

  const setSlice = (most) => {
    const until = performance.now() + SLICE;
    let elements = 0;
    for (const [, holder, formulas] of inOrder()) {
      for (let next; (next = formulas.shift()); ) {
        if (holder.contains(next[0])) elements += set(...next);
        if (elements > most || performance.now() > until) return;
      }
      waiting.delete(holder);
    }
  };
  let styles = null;
  const fetchStyles = () => styles ||= new Promise((resolve) => {
    const href = document.querySelector("[data-katex-style]").dataset.katexStyle;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
  const setWaiting = async () => {
    const [isThere] = await Promise.all([Stepmark.load("katex"), fetchStyles()]);
    if (isThere) for (setSlice(FIRST_ELEMENTS); waiting.size || arrived.length; setSlice(MOST_ELEMENTS)) await pause();
    isRunning = false;
  };
  const setSoon = (place, part) => {
    arrived.push([place, part]);
    if (isRunning) return;
    isRunning = true;
    setWaiting();
  };
  Object.assign(Stepmark, { setFormula, setSoon, drawLong, showNear });
})();
