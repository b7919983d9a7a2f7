// Shows the text of a solution unchanged, with formulas rendered by KaTeX and with visible marks for invisible characters.
// Stepmark.split is pure and also runs in node. Stepmark.show needs a page. KaTeX is loaded with the first formula.
(() => {
  "use strict";

  // --- splitting ---

  const ENVIRONMENTS = "(?:align|gather|equation|alignat|split|CD)\\*?";
  const FENCED = [
    // [opening, closing, pattern of the whole (sticky), kind]
    ["\\[", "\\]", /\\\[([\s\S]+?)\\\]/y, "display"],
    ["\\(", "\\)", /\\\(([\s\S]+?)\\\)/y, "inline"],
    ["$$", "$$", /\$\$((?:[^$\\]|\\[\s\S])+?)\$\$/y, "display"],
    ["\\begin{", "\\end{", new RegExp(`(\\\\begin\\{(${ENVIRONMENTS})\\}[\\s\\S]+?\\\\end\\{\\2\\})`, "y"), "display"],
    ["[asy]", "[/asy]", /(\[asy\][\s\S]*?\[\/asy\])/y, "code"],
  ];
  const DOLLARS = /\$((?:[^$\\\n]|\\[^\n]|\n(?!\s*\n))+)\$/y;
  // Collections split solutions at line ends, even inside displayed formulas. A formula may open here and close in the next step.
  const UNCLOSED = [[/\$\$([^$]*[\\=^_][^$]*)$/y, "display"], [/\$(\\[A-Za-z][^$\n]*)$/y, "inline"]];
  const SHORT_WORDS = new Set("an and are as at but by day for if in is it of on or per so the to up was we".split(" "));

  const hasWords = (inside) => {
    const bare = inside.replace(/\\(?:text|mbox|textrm|textbf|mathrm|operatorname)\s*\{[^{}]*\}/g, " ").replace(/\\[A-Za-z]+/g, " ");
    return (bare.match(/(?<![^\s])[A-Za-z][a-z]*(?=[\s,.;:!?]|$)/g) || []).some((word) => word.length > 3 || SHORT_WORDS.has(word.toLowerCase()));
  };

  // Two dollars enclose a formula, as in TeX, unless they are money: an amount after the second one ("$5-$6"), an amount
  // before the first one ("20$, or"), words after an amount ("$5 for each$"), or an incomplete sum ("$3=$-2").
  const isMoney = (before, inside, after) => {
    if (inside.startsWith("\\")) return false;
    if (/<<|>>/.test(inside)) return true; // GSM8K's calculator marks follow amounts: "$<<9*2=18>>18 and $5"
    if (/\d/.test(after) || (/\d/.test(before) && /^[\s/,.;:)]/.test(inside))) return true;
    if (/^\s*-?[\d.,]+\s*$/.test(inside)) return !/^\s/.test(inside) && /\s$/.test(inside);
    if (/^\.?\d/.test(inside) && /(?<!\^)[-+=*/(]\s*$|^[\d.,]+\.\s/.test(inside)) return true;
    return /^[\s\d.,/]|\s$/.test(inside) && hasWords(inside);
  };

  const fencedAt = (text, at, lastOf) => {
    for (const [opening, closing, whole, kind] of FENCED) {
      if (!text.startsWith(opening, at) || lastOf[closing] <= at) continue;
      whole.lastIndex = at;
      const match = whole.exec(text);
      if (match && match[1].trim()) return { kind, body: match[1], source: match[0] };
    }
    if (text[at] === "$" && text[at + 1] !== "$") {
      DOLLARS.lastIndex = at;
      const match = DOLLARS.exec(text);
      if (match && !isMoney(text[at - 1] || "", match[1], text[DOLLARS.lastIndex] || "")) return { kind: "inline", body: match[1], source: match[0] };
    }
    for (const [whole, kind] of text[at] === "$" ? UNCLOSED : []) {
      whole.lastIndex = at;
      const match = whole.exec(text);
      if (match && (kind === "display" || !hasWords(match[1]))) return { kind, body: match[1], source: match[0] };
    }
    return null;
  };

  // -> [{kind: "text" | "inline" | "display" | "code", body, source}]; the sources joined are the text itself.
  const split = (text) => {
    const parts = [], lastOf = Object.fromEntries(FENCED.map(([, closing]) => [closing, text.lastIndexOf(closing)])); // otherwise each of ten thousand "\\[" would search the whole text
    let prose = "", source = "";
    const close = () => { if (source) parts.push({ kind: "text", body: prose, source }); prose = source = ""; };
    for (let at = 0; at < text.length;) {
      const found = "$\\[".includes(text[at]) ? fencedAt(text, at, lastOf) : null;
      if (found) {
        close();
        parts.push(found);
        at += found.source.length;
      } else if (text.startsWith("\\$", at)) {
        prose += "$"; source += "\\$"; at += 2; // TeX's way to write a dollar
      } else {
        const plain = /[^$\\[]+|[\s\S]/y;
        plain.lastIndex = at;
        const [piece] = plain.exec(text);
        prose += piece; source += piece; at += piece.length;
      }
    }
    close();
    return parts;
  };

  // Translations of LaTeX that KaTeX does not know. Gaps between columns and the length of a line may differ; no symbol changes.
  const BRACED = "\\{(?:[^{}]|\\{(?:[^{}]|\\{[^{}]*\\})*\\})*\\}";
  const MENDED = [
    [new RegExp(`(\\\\begin\\{array\\})(${BRACED})`, "g"), (_, begin, columns) => begin + columns.replace(new RegExp(`[@!]${BRACED}`, "g"), "")],
    [/\\multicolumn\{([1-9])\}\{[^{}]*\}/g, (_, count) => "&".repeat(count - 1)],
    [/\\cline\{[^{}]*\}/g, "\\hline"],
    [/\\vspace\*?\{[^{}]*\}/g, ""],
    [/\\root\s*(\{[^{}]*\}|[^\s\\{}])\s*\\of/g, "\\sqrt[$1]"],
    [/([_^])(\\(?:vec|overline|bar|hat|widehat|tilde|sqrt)\{[^{}]*\})/g, "$1{$2}"],
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
  const refuse = (body) => {
    if (body.length > MOST_CHARACTERS) throw new Error(`it is longer than ${MOST_CHARACTERS} characters`);
    if (depthOf(body) > DEEPEST) throw new Error(`it is nested deeper than ${DEEPEST} levels`);
    if ((body.match(/&|\\\\/g) || []).length > MOST_CELLS) throw new Error(`it has more than ${MOST_CELLS} cells`);
    if (DEFINES.test(body.replace(STRETCH, ""))) throw new Error("it defines commands");
  };
  const mend = (body) => MENDED.reduce((text, [pattern, words]) => text.replace(pattern, words), body);

  // "...\n\n# Answer\n\n18" -> what comes before, the mark itself, the answer; null where there is no such end.
  const ANSWER = /^([\s\S]*?)((?:^|\n\n)# Answer\n\n)([\s\S]*)$/;
  const splitAnswer = (text) => { const match = ANSWER.exec(text); return match && { before: match[1], mark: match[2], answer: match[3] }; };

  const Stepmark = (globalThis.Stepmark ||= {});
  const LIMITS = { trust: false, maxExpand: 200, maxSize: 20, throwOnError: true, strict: "ignore" };
  // Render one formula with `set`, which calls KaTeX's render or renderToString. Throws if the source must be shown instead.
  const setFormula = (part, set) => (refuse(part.body), set(mend(part.body), { ...LIMITS, macros: { ...MACROS }, displayMode: part.kind === "display" }));
  Object.assign(Stepmark, { split, splitAnswer, setFormula });
  if (typeof document === "undefined") return;

  // --- showing ---

  const script = document.currentScript;
  const UNSEEN = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/;
  let katex = null;

  const fetchKatex = () => (katex ||= new Promise((resolve) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: script.dataset.katexStyle });
    const engine = Object.assign(document.createElement("script"), { src: script.dataset.katex });
    engine.onload = () => resolve(globalThis.katex);
    engine.onerror = () => { katex = null; resolve(null); }; // the source stays readable, and the next solution tries again
    document.head.append(style, engine);
  }));

  const prose = (text) => {
    if (!UNSEEN.test(text)) return [document.createTextNode(text)];
    return text.split(new RegExp(`(${UNSEEN.source})`)).map((piece, place) => {
      if (place % 2 === 0) return document.createTextNode(piece);
      const code = `U+${piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
      const seen = Object.assign(document.createElement("span"), { className: "unseen", textContent: piece, title: `invisible character ${code}` });
      seen.dataset.code = code;
      return seen;
    });
  };

  // A displayed formula that is too wide scrolls. Only then can the keyboard reach it.
  const widths = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      const isWide = target.scrollWidth > target.clientWidth;
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "Wide formula"]]) {
        if (isWide) target.setAttribute(name, value); else target.removeAttribute(name);
      }
    }
  });

  const set = (engine, place, part) => {
    const made = document.createElement("span");
    try {
      setFormula(part, (body, options) => engine.render(body, made, options));
      place.replaceChildren(made);
      place.title = part.source;
      if (part.kind === "display") widths.observe(place);
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

  const formula = (part) => {
    const place = document.createElement("span");
    place.className = part.kind;
    place.textContent = part.source;
    if (part.kind === "code") return place;
    fetchKatex().then((engine) => {
      if (!engine) return;
      if (waiting.push([engine, place, part]) === 1) queueMicrotask(setWaiting);
    });
    return place;
  };

  // A displayed formula ends its line. The line end written after it would make an empty line.
  const afterDisplay = (body) => {
    const [gap] = /^[ \t]*\n?/.exec(body);
    return [Object.assign(document.createElement("span"), { className: "gap", textContent: gap }), ...prose(body.slice(gap.length))];
  };

  const nodes = (text) => split(text).flatMap((part, place, parts) => {
    if (part.kind !== "text") return [formula(part)];
    return ["display", "code"].includes(parts[place - 1]?.kind) ? afterDisplay(part.body) : prose(part.body);
  });

  // A final answer is TeX without dollars: "\frac{1}{2}". Words and numbers stay as they are.
  const answerNodes = (text) => (/[\\^_]/.test(text) && !text.includes("$") ? [formula({ kind: "inline", body: text, source: text })] : nodes(text));

  const showText = (element) => {
    const text = element.textContent;
    const end = splitAnswer(text);
    if (!end) return element.replaceChildren(...nodes(text));
    const badge = Object.assign(document.createElement("span"), { className: "answer" });
    const mark = Object.assign(document.createElement("span"), { className: "answer-mark", textContent: end.mark });
    const answer = Object.assign(document.createElement("span"), { className: "answer-text" });
    answer.append(...answerNodes(end.answer));
    badge.append(mark, answer);
    element.replaceChildren(...nodes(end.before), badge);
  };

  // Show every text under the root. In a long solution, texts out of sight are shown when they come near.
  Stepmark.show = (root) => {
    for (const element of root.querySelectorAll("[data-answer]")) element.replaceChildren(...answerNodes(element.textContent));
    const texts = [...root.querySelectorAll("[data-text]")];
    if (texts.length <= 80) return texts.forEach(showText);
    const near = new IntersectionObserver((seen) => {
      for (const one of seen) if (one.isIntersecting) { near.unobserve(one.target); showText(one.target); }
    }, { rootMargin: "1200px" });
    texts.forEach((element) => near.observe(element));
  };
})();
if (typeof module !== "undefined") module.exports = globalThis.Stepmark;
