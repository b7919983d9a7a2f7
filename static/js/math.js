// Shows the text of a problem or a step: formulas as formulas, invisible characters as marks, and in some projects Markdown (markdown.js).
// KaTeX is loaded with the first formula.
(() => {
  "use strict";

  // --- splitting ---

  const FENCED = [
    // [opening, closing, pattern of the whole (sticky), kind]
    ["\\[", "\\]", /\\\[([\s\S]+?)\\\]/y, "display"],
    ["\\(", "\\)", /\\\(([\s\S]+?)\\\)/y, "inline"],
    ["$$", "$$", /\$\$((?:[^$\\]|\\[\s\S])+?)\$\$/y, "display"],
    ["[asy]", "[/asy]", /(\[asy\][\s\S]*?\[\/asy\])/y, "code"],
  ];
  const BEGIN = /\\begin\{([A-Za-z]{1,20}\*?)\}/y, DEEPEST = 60;
  // What KaTeX can set. Any other environment is shown as its source.
  const DISPLAYED = /^(?:align|alignat|gather|equation|split|CD|eqnarray|multline)\*?$/;
  const IN_A_LINE = /^(?:(?:[pbvBV]|small)?matrix\*?|[dr]?cases|drcases|d?array|subarray|aligned|alignedat|gathered)$/;
  // Commands that stand outside of formulas too: the command, and how many braced arguments it takes.
  const BARE = /\\(boxed|[dct]?frac|sqrt|[dt]?binom|overline|vec|centerline|includegraphics)(?![A-Za-z])/y;
  const ONLY_SOURCE = /^(?:centerline|includegraphics)$/;
  const AROUND = /\$((?:[^$\\\n]|\\[^\n])+\$(?=\d)[^$\n]*\}[^$\n]*)\$/y;
  const DOLLARS = /\$((?:[^$\\\n]|\\[^\n]|\n(?!\s*\n))+)\$/y;
  // A file may split solutions inside a formula. Then a formula opens here and closes in the next step.
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

  // -> the place after \end{name}, or 0. Places of the ends are known, so that a thousand openings do not search the whole text each.
  const endOf = (text, at, name) => {
    const sign = new RegExp(`\\\\(begin|end)\\{${name.replace("*", "\\*")}\\}`, "g");
    sign.lastIndex = at;
    for (let depth = 0, match; depth <= DEEPEST && (match = sign.exec(text)); ) if (!(depth += match[1] === "begin" ? 1 : -1)) return sign.lastIndex;
    return 0;
  };

  // -> the place after one argument of a bare command, {braced} or a single sign, or 0
  const argumentAt = (text, at) => {
    while (text[at] === " ") at++;
    if (text[at] !== "{") return /[0-9A-Za-z]/.test(text[at] ?? "") ? at + 1 : 0;
    for (let depth = 0; at < text.length && depth <= DEEPEST; at++) {
      if (text[at] === "\\") at++;
      else if (text[at] === "{") depth++;
      else if (text[at] === "}" && !--depth) return at + 1;
    }
    return 0;
  };
  const bareAt = (text, at) => {
    BARE.lastIndex = at;
    const match = BARE.exec(text);
    if (!match) return null;
    let end = BARE.lastIndex;
    if (/^sqrt|^includegraphics/.test(match[1])) end = /^\s*(?:\[[^\][]*\])?/.exec(text.slice(end, end + 80))[0].length + end;
    for (let count = /frac|binom/.test(match[1]) ? 2 : 1; count && end; count--) end = argumentAt(text, end);
    const source = text.slice(at, end);
    return end ? { kind: ONLY_SOURCE.test(match[1]) ? "code" : "inline", body: source, source } : null;
  };

  const fencedAt = (text, at, lastOf) => {
    for (const [opening, closing, whole, kind] of FENCED) {
      if (!text.startsWith(opening, at) || lastOf(closing) <= at) continue;
      whole.lastIndex = at;
      const match = whole.exec(text);
      if (match && match[1].trim()) return { kind, body: match[1], source: match[0] };
    }
    if (text[at] === "\\") {
      BEGIN.lastIndex = at;
      const [, name] = BEGIN.exec(text) ?? [], end = name && lastOf(`\\end{${name}}`) > at ? endOf(text, at, name) : 0, source = text.slice(at, end);
      if (end) return { kind: DISPLAYED.test(name) ? "display" : IN_A_LINE.test(name) ? "inline" : "code", body: source, source };
      return bareAt(text, at);
    }
    if (text[at] === "$" && text[at + 1] !== "$") {
      DOLLARS.lastIndex = at;
      let match = DOLLARS.exec(text);
      if (match && /\{[^}]*$/.test(match[1])) { // an amount within: "$\boxed{$5}$"
        AROUND.lastIndex = at;
        match = AROUND.exec(text) ?? match;
        DOLLARS.lastIndex = at + match[0].length;
      }
      if (match && !isMoney(text[at - 1] || "", match[1], text[DOLLARS.lastIndex] || "")) return { kind: "inline", body: match[1], source: match[0] };
    }
    for (const [whole, kind] of text[at] === "$" ? UNCLOSED : []) {
      whole.lastIndex = at;
      const match = whole.exec(text);
      if (match && (kind === "display" || !hasWords(match[1]))) return { kind, body: match[1], source: match[0] };
    }
    return null;
  };

  // -> [{kind, body, source}]; the sources joined are the text itself. Kinds: "text", the formulas "inline" and "display", and "code", whose source is shown.
  const split = (text, isMarkdown = false) => {
    const parts = [], places = new Map();
    const lastOf = (closing) => { if (!places.has(closing)) places.set(closing, text.lastIndexOf(closing)); return places.get(closing); };
    let source = "";
    const close = () => { if (source) parts.push({ kind: "text", body: source, source }); source = ""; };
    for (let at = 0; at < text.length;) {
      const found = "$\\[".includes(text[at]) ? fencedAt(text, at, lastOf) : isMarkdown ? Stepmark.codeAt(text, at) : null;
      if (found) {
        close();
        parts.push(found);
        at += found.source.length;
      } else if (!isMarkdown && text.startsWith("\\$", at)) {
        close();
        parts.push({ kind: "text", body: "$", source: "\\$" }); // TeX's way to write a dollar
        at += 2;
      } else {
        const plain = isMarkdown ? /`+|~+|\\[^A-Za-z]|[^$\\[`~]+|[\s\S]/y : /[^$\\[]+|[\s\S]/y;
        plain.lastIndex = at;
        const [piece] = plain.exec(text);
        source += piece; at += piece.length;
      }
    }
    close();
    return parts;
  };

  // "...\n\n# Answer\n\n18" -> what comes before, the mark itself, the answer; null where there is no such end.
  const ANSWER = /^([\s\S]*?)((?:^|\n\n)# Answer\n\n)([\s\S]*)$/;
  const splitAnswer = (text) => { const match = ANSWER.exec(text); return match && { before: match[1], mark: match[2], answer: match[3] }; };

  const Stepmark = (globalThis.Stepmark ||= {});

  // --- showing ---

  const script = document.currentScript;
  const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
  const SELDOM = /[\u00ad\u0590-\u08ff\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufb1d-\ufdff\ufe70-\ufeff]/;

  const add = (parent, name, properties) => { const element = Object.assign(document.createElement(name), properties); parent.append(element); return element; };

  // Without such a script the text stays readable, and the next text tries again.
  const loads = {};
  const load = (name) => (loads[name] ||= new Promise((resolve) => {
    add(document.head, "script", { src: script.dataset[name], onload: () => resolve(true), onerror: () => { delete loads[name]; resolve(false); } });
  }));
  document.addEventListener("selectionchange", () => { if (!getSelection().isCollapsed) load("copy"); });

  // What is too large scrolls. Only then can the keyboard reach it.
  const sizes = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight + 1) target.tabIndex = 0; else target.removeAttribute("tabindex");
    }
  });
  const watch = (element, name) => { if (name) Object.assign(element, { role: "group", ariaLabel: name }); sizes.observe(element); };

  // Each formula is isolated and runs from left to right.
  const formula = (parent, part) => {
    const place = add(parent, "bdi", { className: part.kind, dir: "ltr", textContent: part.source });
    if (part.kind !== "code") {
      load("katex");
      load("formulas").then((isThere) => isThere && Stepmark.setSoon(place, part));
    }
    return place;
  };

  // Appends pieces of `text` to elements, in order. `leaves` remembers which node shows which piece, so that a copy is the text itself.
  const writer = (text, parts, leaves) => {
    const starts = [];
    parts.reduce((at, part) => { starts.push(at); return at + part.source.length; }, 0);
    const isSeldom = SELDOM.test(text);
    let next = 0, gap = -1; // `gap`: a displayed formula ended here. The line end written after it would make an empty line.

    const leaf = (node, from, to) => leaves.push([node, from, to]);
    const letters = (parent, from, to) => {
      if (from >= to) return;
      parent.append(text.slice(from, to));
      leaf(parent.lastChild, from, to);
    };
    const prose = (parent, from, to) => {
      if (isSeldom && Stepmark.drawSeldom) Stepmark.drawSeldom(parent, text.slice(from, to), from, letters, RIGHT_TO_LEFT.test(text));
      else letters(parent, from, to);
    };
    const atom = (parent, part, from) => {
      const to = from + part.source.length;
      if (part.kind === "text") {
        parent.append(part.body);
        return leaf(parent.lastChild, from, to);
      }
      if (part.draw) return part.draw(parent, from, letters);
      leaf(formula(parent, part), from, to);
      if (part.kind !== "inline") gap = to;
      return undefined;
    };

    return (parent, from, to) => {
      while (from < to) {
        while (next < parts.length && (starts[next] < from || (parts[next].kind === "text" && parts[next].body === parts[next].source))) next++;
        const start = starts[next] ?? Infinity;
        if (start === from) {
          atom(parent, parts[next], from);
          from += parts[next].source.length;
          continue;
        }
        const end = Math.min(to, start);
        if (gap === from) {
          const { length } = /^[ \t]*\n?/.exec(text.slice(from, end))[0];
          letters(add(parent, "span", { className: "gap" }), from, from + length);
          from += length;
          gap = -1;
        }
        prose(parent, from, end);
        from = end;
      }
    };
  };

  const drawn = new WeakMap(); // element -> its text and leaves
  const MANY = 300; // elements
  const LONGEST_MARKDOWN = 20_000; // characters; a longer text is shown as plain text
  // A final answer is TeX without dollars: "\frac{1}{2}". Words and numbers stay as they are.
  const partsOf = (text) => (/[\\^_]/.test(text) && !text.includes("$") ? [{ kind: "inline", body: text, source: text }] : split(text));
  const draw = (element, text, kind) => {
    const end = kind === "answer" ? null : splitAnswer(text), words = end ? end.before : text, leaves = [], root = document.createDocumentFragment();
    const isMarkdown = kind === "markdown" && text.length <= LONGEST_MARKDOWN && !!Stepmark.drawMarkdown;
    const parts = kind === "answer" ? partsOf(text) : split(words, isMarkdown), write = writer(text, parts, leaves);
    if (isMarkdown) Stepmark.drawMarkdown(root, parts, write);
    else write(root, 0, words.length);
    if (end) {
      const badge = add(root, "span", { className: "answer" }), at = words.length + end.mark.length, own = [];
      leaves.push([add(badge, "span", { className: "answer-mark", textContent: end.mark }), words.length, at]);
      writer(end.answer, partsOf(end.answer), own)(add(badge, "span", { className: "answer-text" }), 0, end.answer.length);
      for (const [node, from, to] of own) leaves.push([node, from + at, to + at]);
    }
    drawn.set(element, { text, leaves, isShown: element.isConnected });
    if (root.querySelectorAll("*").length < MANY) element.replaceChildren(root);
    else load("formulas").then((isThere) => isThere && Stepmark.drawLong(element, root, leaves));
    if (SELDOM.test(text) && !Stepmark.drawSeldom) load("seldom").then((isThere) => isThere && drawn.get(element).text === text && draw(element, text, kind));
  };
  const show = (element) => draw(element, element.textContent, element.dataset.text ?? "answer");

  const AT_ONCE = 40_000; // characters; a longer page is shown in parts (formulas.js)
  Stepmark.show = (root) => {
    root.querySelectorAll("[data-answer]").forEach(show);
    const briefs = root.querySelectorAll("[data-brief]");
    if (briefs.length) load("brief").then(() => briefs.forEach(Stepmark.showBrief));
    for (const problem of root.querySelectorAll(".work .problem")) watch(problem);
    const texts = [...root.querySelectorAll("[data-text]")];
    if (texts.length <= 80 && root.textContent.length <= AT_ONCE) return texts.forEach(show);
    load("formulas").then((isThere) => (isThere ? Stepmark.showNear(texts, show) : texts.forEach(show)));
  };
  Object.assign(Stepmark, { split, splitAnswer, load, writer, drawn, watch });
})();
