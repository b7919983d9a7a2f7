// What a formula needs besides KaTeX: translations of LaTeX that KaTeX does not know, and limits. Loaded with the first formula.
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
  const Stepmark = (globalThis.Stepmark ||= {});

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
  };

  // A normal solution is rendered at once, before it is painted. Thousands of formulas are rendered in slices, with frames between.
  const SLICE = 40; // milliseconds
  const waiting = [];
  const setWaiting = () => {
    const until = performance.now() + SLICE;
    while (waiting.length && performance.now() < until) set(...waiting.shift());
    if (waiting.length) setTimeout(setWaiting);
  };
  const setSoon = (place, part) => { if (waiting.push([place, part]) === 1) queueMicrotask(setWaiting); };
  Object.assign(Stepmark, { setFormula, setSoon });
})();
