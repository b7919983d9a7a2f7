// Markdown as models write it, for a project whose texts are Markdown. math.js sets apart formulas and code. What it leaves is read in the
// *shape* of the text: the text itself, in which formulas are the letter U+E000 and fenced code is U+E001, as often as they have characters.
// So no rule can touch a formula, and every place in the shape is the same place in the text.
// There are no links, images, HTML or entities: their source is shown. A line end stays a line end, and list items keep the sign or the number
// that was written. Every part of the work is linear in the text: nothing is nested deeper than DEEPEST, and nothing is searched twice.
(() => {
  "use strict";
  const DEEPEST = 12, DEEPEST_EMPHASIS = 20, FENCE = "\ue001";
  const HEADING = /^ {0,3}#{1,6}(?:[ \t]+|$)/, RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/, QUOTE = /^ {0,3}>(?!=) ?/;
  const ITEM = /^([ \t]*)([-*]|\d{1,9}[.)])([ \t]+|$)/, DELIMITERS = /^[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)*(?:[ \t]*:?-+:?)?[ \t]*$/;
  const THINK = /^[ \t]*<think(?:ing)?>/, END_OF_THINK = /<\/think(?:ing)?>/;
  const SIGNS = { "*": "•", "-": "–" };
  const TOKEN = /\\[\s\S]|[*_]+|~+/g, ESCAPED = "`*_{}#+-.!|>~$<&\n";
  const WORD = /[\p{L}\p{N}\ue000]/u, PUNCTUATION = /[^\s\p{L}\p{N}\ue000]/u;
  const BEFORE_TIMES = /[A-Za-z0-9\ue000)\]}]/, AFTER_TIMES = /^(?:[A-Za-z0-9\ue000([{\\]|[-+]\d)/; // "2*3*4" multiplies, it emphasizes nothing

  const make = (name, parent, dir = "") => {
    const element = document.createElement(name);
    if (dir) element.dir = dir;
    parent.append(element);
    return element;
  };
  // Code is set apart by the splitter of math.js, since what stands in code is no formula: `code` in a line, and fences of three signs or more at the
  // begin of a line. `draw` makes its element, with `letters(parent, from, to)` for the pieces of the text.
  const FENCE_BEFORE = /^[ \t>]*(?:(?:[-*]|\d{1,9}[.)])[ \t]+)*$/;
  const span = (body, source) => ({
    kind: "span", body, source, draw: (parent, at, letters) => {
      const isPadded = body.startsWith(" ") && body.endsWith(" ") && body.trim(), from = at + (source.length - body.length) / 2 + !!isPadded;
      letters(make("code", parent, "ltr"), from, from + body.length - (isPadded ? 2 : 0));
    },
  });
  const fence = (body, source, indent) => ({
    kind: "fence", body, source, draw: (parent, at, letters) => {
      const block = make("pre", parent, "ltr"), space = new RegExp(`^[ \\t>]{0,${indent}}`), end = at + source.indexOf("\n") + 1 + body.length;
      block.className = "code";
      for (let from = at + source.indexOf("\n") + 1; from < end; ) {
        const line = /^.*\n?/.exec(source.slice(from - at, end - at))[0];
        letters(block, from + space.exec(line)[0].length, (from += line.length));
      }
    },
  });
  const codeAt = (text, at) => {
    const signs = /^(?:`+|~~~+)/.exec(text.slice(at, at + 100))?.[0], start = at + signs?.length;
    if (!signs) return null;
    if (signs.length > 2) {
      const before = at ? text.slice(text.lastIndexOf("\n", at - 1) + 1, at) : "", line = text.indexOf("\n", start);
      if (FENCE_BEFORE.test(before) && (signs[0] === "~" || !text.slice(start, line < 0 ? text.length : line).includes("`"))) {
        const close = new RegExp(`^[ \\t>]*${signs[0]}{${signs.length},}[ \\t]*$`, "gm");
        close.lastIndex = line < 0 ? text.length : line;
        const match = close.exec(text), end = match ? match.index + match[0].length : text.length;
        return fence(line < 0 ? "" : text.slice(line + 1, Math.max(line + 1, match ? match.index - 1 : end)), text.slice(at, end), before.length);
      }
    }
    if (signs[0] === "~") return null;
    const runs = /`+|\n[ \t]*\n/g;
    runs.lastIndex = start;
    for (let match; (match = runs.exec(text)) && match[0][0] === "`"; ) {
      if (match[0].length === signs.length) return span(text.slice(start, match.index), text.slice(at, runs.lastIndex));
    }
    return null;
  };

  const widthOf = (space) => space.replaceAll("\t", "    ").length;

  // `write(parent, from, to)` appends that piece of the text, its formulas and code included. Calls come in the order of the text.
  const draw = (parent, parts, write) => {
    const shape = parts.map(({ kind, source }) => (
      kind === "text" ? source.replace(/[\ue000\ue001]/g, "\ufffd") : (kind === "fence" ? FENCE : "\ue000").repeat(source.length)
    )).join(""), end = shape.length;
    const lastThink = Math.max(shape.lastIndexOf("</think>"), shape.lastIndexOf("</thinking>"));
    let isThinking = false;
    const textOf = ([from, to]) => shape.slice(from, to);
    const isTable = (lines, at) => at + 1 < lines.length && textOf(lines[at]).includes("|") && shape[lines[at][0]] !== FENCE
      && textOf(lines[at + 1]).includes("-") && DELIMITERS.test(textOf(lines[at + 1])) && cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length;
    const cellsOf = ([from, to]) => {
      const cells = [], isBar = (at) => shape[at] === "|" && shape[at - 1] !== "\\";
      while (/[ \t]/.test(shape[from]) && from < to) from++;
      while (/[ \t]/.test(shape[to - 1]) && from < to) to--;
      if (isBar(from)) from++;
      if (to > from && isBar(to - 1)) to--;
      for (let at = from; at <= to; at++) if (at === to || isBar(at)) { cells.push([from, at]); from = at + 1; }
      return cells;
    };
    const opens = (lines, at, isInItem) => {
      const text = textOf(lines[at]), item = ITEM.exec(text);
      return HEADING.test(text) || RULE.test(text) || QUOTE.test(text) || THINK.test(text) || text.trimStart()[0] === FENCE || isTable(lines, at)
        || !!item && !!item[3] && (isInItem || !/\d/.test(item[2]) || item[2].slice(0, -1) === "1");
    };

    const outer = []; // They get their direction at the end: with dir="auto" each change of their nodes searches all of them for letters.
    const blocks = (parent, lines, depth) => {
      const add = (name) => {
        const element = make(name, parent);
        if (depth === 0) outer.push(element);
        return element;
      };
      for (let at = 0; at < lines.length;) {
        const line = lines[at], text = textOf(line), [from, to] = line;
        let match;
        if (!text.trim()) at++;
        else if (text.trimStart()[0] === FENCE) {
          write(parent, from + text.indexOf(FENCE), from + text.lastIndexOf(FENCE) + 1);
          at++;
        } else if (!isThinking && (match = THINK.exec(text)) && from < lastThink) {
          const inside = [];
          let close = null, first = from + match[0].length;
          for (; at < lines.length && !close; at++, first = lines[at]?.[0]) {
            close = END_OF_THINK.exec(shape.slice(first, lines[at][1]));
            inside.push([first, close ? first + close.index : lines[at][1]]);
          }
          if (close) lines[--at] = [inside.at(-1)[1] + close[0].length, lines[at][1]];
          const fold = make("details", parent), count = inside.filter((one) => textOf(one).trim()).length;
          fold.className = "think";
          make("summary", fold).textContent = `${match[0].trim()} ${count} line${count === 1 ? "" : "s"}`;
          isThinking = true;
          blocks(fold, inside, depth);
          isThinking = false;
        } else if ((match = HEADING.exec(text))) {
          const start = from + match[0].length, words = text.slice(match[0].length).trimEnd();
          inline(add("h3"), [[start, start + words.replace(/(^|[ \t])#+$/, "").trimEnd().length]]);
          at++;
        } else if (RULE.test(text)) {
          add("hr");
          at++;
        } else if (depth < DEEPEST && QUOTE.test(text)) {
          const inside = [];
          for (; at < lines.length && (match = QUOTE.exec(textOf(lines[at]))); at++) inside.push([lines[at][0] + match[0].length, lines[at][1]]);
          blocks(add("blockquote"), inside, depth + 1);
        } else if (depth < DEEPEST && (match = ITEM.exec(text))?.[3]) {
          at = list(add, lines, at, match, depth);
        } else if (isTable(lines, at)) {
          at = table(add, lines, at);
        } else {
          const inside = [line];
          while (++at < lines.length && textOf(lines[at]).trim() && !opens(lines, at, false)) inside.push(lines[at]);
          inline(add("p"), inside);
        }
      }
    };

    // An item holds what is indented by at least two more columns than its sign. Returns the line after the list.
    const list = (add, lines, at, match, depth) => {
      const isNumbered = /\d/.test(match[2]), kind = match[2].at(-1), place = add(isNumbered ? "ol" : "ul"), outer = widthOf(match[1]);
      let number = isNumbered ? parseInt(match[2], 10) : 0;
      if (isNumbered) place.start = number;
      while (match) {
        const spaces = match[3].length > 4 ? 1 : match[3].length || 1, inner = widthOf(match[1]) + match[2].length + spaces;
        const inside = [[Math.min(lines[at][0] + match[1].length + match[2].length + spaces, lines[at][1]), lines[at][1]]];
        let gap = 0;
        for (at++; at < lines.length; at++) {
          const text = textOf(lines[at]), space = /^[ \t]*/.exec(text)[0], width = widthOf(space);
          if (space === text) { gap++; continue; }
          const isInside = width >= Math.min(inner, outer + 2);
          if (!isInside && (gap || opens(lines, at, true))) break;
          for (; gap; gap--) inside.push([lines[at - gap][0], lines[at - gap][0]]);
          let from = lines[at][0];
          for (let left = isInside ? inner : width; left > 0 && /[ \t]/.test(shape[from]); from++) left -= widthOf(shape[from]);
          inside.push([from, lines[at][1]]);
        }
        const item = make("li", place);
        item.style.listStyleType = `"${SIGNS[match[2]] ?? match[2]} "`;
        if (isNumbered && parseInt(match[2], 10) !== number) item.value = number = parseInt(match[2], 10);
        number++;
        blocks(item, inside, depth + 1);
        match = at < lines.length ? ITEM.exec(textOf(lines[at])) : null;
        if (match && (!match[3] || match[2].at(-1) !== kind || RULE.test(textOf(lines[at])))) match = null;
      }
      return at;
    };

    const table = (add, lines, at) => {
      const frame = add("div"), place = make("table", frame), head = make("tr", make("thead", place));
      const sides = cellsOf(lines[at + 1]).map((cell) => /^\s*(:?)-*(:?)/.exec(textOf(cell))).map(([, left, right]) => (right ? (left ? "center" : "end") : ""));
      frame.className = "display";
      Stepmark.watch(frame, "Wide table");
      const fill = (row, name, line) => cellsOf(line).forEach(([from, to], column) => {
        const text = shape.slice(from, to), space = text.length - text.trimStart().length, cell = make(text.trim() ? name : "td", row);
        if (sides[column]) cell.style.textAlign = sides[column];
        if (text.trim()) inline(cell, [[from + space, from + text.trimEnd().length]]);
      });
      fill(head, "th", lines[at]);
      const body = make("tbody", place);
      for (at += 2; at < lines.length && textOf(lines[at]).includes("|") && !opens(lines, at, false); at++) fill(make("tr", body), "td", lines[at]);
      if (!body.firstChild) body.remove();
      return at;
    };

    // Emphasis, struck text and escapes in some lines. The lines are joined for the search; `put` finds the places in the text again.
    const inline = (parent, lines) => {
      const joined = lines.map(textOf).join("\n"), starts = [];
      let length = 0, line = 0;
      for (const [from, to] of lines) { starts.push(length); length += to - from + 1; }
      const put = (parent, from, to) => {
        while (from < to) {
          while (line + 1 < lines.length && from >= starts[line + 1]) line++;
          const shift = lines[line][0] - starts[line], until = Math.min(to, starts[line + 1] ?? Infinity);
          const end = until + shift, [, lineEnd] = lines[line];
          write(parent, from + shift, Math.min(end, lineEnd));
          if (end > lineEnd) write(parent, lineEnd + (shape[lineEnd] === "\r"), lineEnd + (shape[lineEnd] === "\r") + 1);
          from = until;
        }
      };

      const tokens = [], stack = [], bottom = { "*": 0, _: 0, "~": 0 };
      let after = 0;
      const keep = (from, to) => { if (from < to) tokens.push({ from, to }); };
      for (const { 0: run, index } of joined.matchAll(TOKEN)) {
        const end = index + run.length;
        if (run[0] === "\\") {
          if (!ESCAPED.includes(run[1])) continue;
          keep(after, index);
          after = index + 1;
          continue;
        }
        const [sign] = run, before = joined[index - 1] ?? " ", next = joined.slice(end, end + 2) || " ", count = run.length;
        if (sign === "~" ? count !== 2 : count > 3) continue;
        let canOpen = /\S/.test(next[0]), canClose = /\S/.test(before);
        if (sign === "_") {
          canOpen &&= !WORD.test(before) && next[0] !== "{";
          canClose &&= !WORD.test(next[0]);
        } else if (sign === "*" && count === 1) {
          const isTimes = BEFORE_TIMES.test(before) && AFTER_TIMES.test(next);
          canOpen &&= !isTimes && (!PUNCTUATION.test(next[0]) || !WORD.test(before));
          canClose &&= !isTimes && (!PUNCTUATION.test(before) || !WORD.test(next[0]));
        } else if (/[A-Za-z0-9]/.test(before) && /[A-Za-z0-9]/.test(next[0])) canOpen = false; // "2**3"
        if (!canOpen && !canClose) continue;
        keep(after, index);
        after = end;
        const token = { from: index, to: end, sign, left: count, opened: [], closed: [] };
        tokens.push(token);
        for (let height = stack.length; canClose && token.left && height > bottom[sign];) {
          const opener = stack[--height];
          if (opener.sign !== sign) continue;
          const used = Math.min(2, token.left, opener.left);
          opener.opened.unshift(used);
          token.closed.push(used);
          opener.left -= used;
          token.left -= used;
          stack.length = height + (opener.left > 0);
          for (const one of "*_~") bottom[one] = Math.min(bottom[one], stack.length);
          height = stack.length;
        }
        if (canClose && token.left) bottom[sign] = stack.length;
        if (canOpen && token.left) stack.push(token);
      }
      keep(after, joined.length);

      const path = [parent];
      for (const { from, to, sign, left = 0, opened = [], closed = [] } of tokens) {
        if (!sign) { put(path.at(-1), from, to); continue; }
        path.length -= closed.length;
        const rest = from + closed.reduce((sum, used) => sum + used, 0);
        put(path.at(-1), rest, rest + left);
        for (const used of opened) path.push(path.length > DEEPEST_EMPHASIS ? path.at(-1) : make(sign === "~" ? "s" : used === 2 ? "strong" : "em", path.at(-1)));
      }
    };

    const lines = [];
    for (let from = 0; from <= end;) {
      const found = shape.indexOf("\n", from), to = found < 0 || found > end ? end : found;
      lines.push([from, shape[to - 1] === "\r" && to > from ? to - 1 : to]);
      from = to + 1;
    }
    const frame = make("div", parent);
    frame.className = "prose";
    blocks(frame, lines, 0);
    for (const element of outer) element.dir = "auto";
  };

  Object.assign((globalThis.Stepmark ||= {}), { codeAt, drawMarkdown: draw });
})();
