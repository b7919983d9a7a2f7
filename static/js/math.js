// Shows a solution's text: literal, with its formulas set by KaTeX and its invisible characters made visible.
// Stepmark.split is pure and runs in node too; Stepmark.show needs a page. KaTeX is fetched when the first formula is met.
(() => {
  "use strict";

  // --- splitting ---------------------------------------------------------------------------------------------------------

  const ENVIRONMENTS = "(?:align|gather|equation|alignat|split|CD)\\*?";
  const FENCED = [
    // [what opens, how the whole looks from there (sticky), kind, are the delimiters part of the source?]
    ["\\[", /\\\[([\s\S]+?)\\\]/y, "display", false],
    ["\\(", /\\\(([\s\S]+?)\\\)/y, "inline", false],
    ["$$", /\$\$((?:[^$\\]|\\[\s\S])+?)\$\$/y, "display", false],
    ["\\begin{", new RegExp(`(\\\\begin\\{(${ENVIRONMENTS})\\}[\\s\\S]+?\\\\end\\{\\2\\})`, "y"), "display", true],
    ["[asy]", /(\[asy\][\s\S]*?\[\/asy\])/y, "code", true],
  ];
  const DOLLARS = /\$((?:[^$\\\n]|\\[^\n]|\n(?!\s*\n))+)\$/y;
  const SHORT_WORDS = new Set("an and are as at but by day for if in is it of on or per so the to up was we".split(" "));

  const hasWords = (inside) => {
    const bare = inside.replace(/\\(?:text|mbox|textrm|textbf|mathrm|operatorname)\s*\{[^{}]*\}/g, " ").replace(/\\[A-Za-z]+/g, " ");
    return (bare.match(/(?<![^\s])[a-z]+(?=[\s,.;:!?]|$)/g) || []).some((word) => word.length > 3 || SHORT_WORDS.has(word));
  };

  // Two dollars fence a formula, as in TeX, unless they are money: an amount right after the second one ("$5-$6"), the first one
  // behind an amount ("20$, or"), an amount that words follow ("$5 for each$"), or a sum cut short ("$3=$-2").
  const isMoney = (before, inside, after) => {
    if (inside.startsWith("\\")) return false;
    if (/\d/.test(after) || (/\d/.test(before) && /^[\s/,.;:)]/.test(inside))) return true;
    if (/^\s*-?[\d.,]+\s*$/.test(inside)) return /^\s|\s$/.test(inside);
    if (/^\d/.test(inside) && /[-+=*/]\s*$/.test(inside)) return true;
    return /^[\s\d.,/]|\s$/.test(inside) && hasWords(inside);
  };

  const fencedAt = (text, at) => {
    for (const [opening, whole, kind] of FENCED) {
      if (!text.startsWith(opening, at)) continue;
      whole.lastIndex = at;
      const match = whole.exec(text);
      if (match && match[1].trim()) return { kind, body: match[1], source: match[0] };
    }
    if (text[at] === "$" && text[at + 1] !== "$") {
      DOLLARS.lastIndex = at;
      const match = DOLLARS.exec(text);
      if (match && !isMoney(text[at - 1] || "", match[1], text[DOLLARS.lastIndex] || "")) return { kind: "inline", body: match[1], source: match[0] };
    }
    return null;
  };

  // -> [{kind: "text" | "inline" | "display" | "code", body, source}]; the sources joined are the text itself.
  const split = (text) => {
    const parts = [];
    let prose = "", source = "";
    const close = () => { if (source) parts.push({ kind: "text", body: prose, source }); prose = source = ""; };
    for (let at = 0; at < text.length;) {
      const found = "$\\[".includes(text[at]) ? fencedAt(text, at) : null;
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

  // "...\n\n# Answer\n\n18" -> what comes before, the mark itself, the answer; null where there is no such end.
  const ANSWER = /^([\s\S]*?)((?:^|\n\n)# Answer\n\n)([\s\S]*)$/;
  const splitAnswer = (text) => { const match = ANSWER.exec(text); return match && { before: match[1], mark: match[2], answer: match[3] }; };

  const Stepmark = (globalThis.Stepmark ||= {});
  Object.assign(Stepmark, { split, splitAnswer });
  if (typeof document === "undefined") return;

  // --- showing -----------------------------------------------------------------------------------------------------------

  const script = document.currentScript;
  const LIMITS = { trust: false, maxExpand: 200, maxSize: 20, throwOnError: true, strict: "ignore", macros: { "\\mbox": "\\text" } };
  const UNSEEN = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/;
  let katex = null;

  const fetchKatex = () => (katex ||= new Promise((resolve) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: script.dataset.katexStyle });
    const engine = Object.assign(document.createElement("script"), { src: script.dataset.katex });
    engine.onload = () => resolve(globalThis.katex);
    engine.onerror = () => { katex = null; resolve(null); }; // the source stays readable; the next solution tries again
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

  const formula = (part) => {
    const place = document.createElement("span");
    place.className = part.kind;
    place.textContent = part.source;
    if (part.kind === "code") return place;
    fetchKatex().then((engine) => {
      if (!engine) return;
      const made = document.createElement("span");
      try {
        engine.render(part.body, made, { ...LIMITS, macros: { ...LIMITS.macros }, displayMode: part.kind === "display" });
        place.replaceChildren(made);
        place.title = part.source;
      } catch (error) {
        place.classList.add("broken");
        place.title = `This formula cannot be shown: ${error.message}`;
      }
    });
    return place;
  };

  // A displayed formula ends its line by itself: the line end written behind it would be an empty line.
  const afterDisplay = (body) => {
    const [gap] = /^[ \t]*\n?/.exec(body);
    return [Object.assign(document.createElement("span"), { className: "gap", textContent: gap }), ...prose(body.slice(gap.length))];
  };

  const nodes = (text) => split(text).flatMap((part, place, parts) => {
    if (part.kind !== "text") return [formula(part)];
    return ["display", "code"].includes(parts[place - 1]?.kind) ? afterDisplay(part.body) : prose(part.body);
  });

  // A bare answer is TeX without fences: "\frac{1}{2}". Plain words and numbers are left alone.
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

  // Show every text under the root: those in sight at once, the others of a long solution when they come near.
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
