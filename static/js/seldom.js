// What few texts need, loaded with the first of them: marks for invisible characters; and arithmetic in a text that runs from right to left, which is
// isolated even outside of formulas. Otherwise "3 - 2 = 1" is shown as "1 = 2 - 3".
(() => {
  "use strict";
  // Joiners are a part of the spelling of Persian and Indian words, and of some emoji.
  const JOINED = "\u0600-\u0dff\u1000-\u109f\u1780-\u17ff";
  const EMOJI = "\\p{Extended_Pictographic}\ufe0f\u{1f3fb}-\u{1f3ff}";
  const UNSEEN = new RegExp("([\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
    + `|(?<![${JOINED}])\u200c(?![${JOINED}])|(?<![${JOINED}${EMOJI}])\u200d(?![${JOINED}]))`, "u");
  const SIGN = "[0-9\u06f0-\u06f9A-Za-z$€£¥%^*/×÷·=<>≤≥≠≈±−+\\-()\\[\\]{}|!'_²³√π]";
  const SUM = new RegExp(`(${SIGN}(?: *${SIGN}|[.,:](?=[0-9\u06f0-\u06f9]))*)`);
  // A sign right after a letter belongs to the word: the Hebrew "ו-3" says "and 3", not "and -3".
  const sumIn = (piece, before) => {
    let from = /[\u0590-\u08ff]/.test(before) && /^[-−]/.test(piece) ? 1 : /^(?:[*/=<>≤≥≠≈×÷·^%!|' ]|[-+±−](?= ))*/.exec(piece)[0].length, to = piece.length;
    while (to > from && /[-+*/=<>≤≥≠≈±−×÷·^ ]/.test(piece[to - 1])) to--;
    let open = [...piece.slice(from, to)].reduce((sum, sign) => sum + (sign === "(") - (sign === ")"), 0);
    for (; from < to && piece[from] === "(" && open > 0; open--) from++;
    for (; from < to && piece[to - 1] === ")" && open < 0; open++) to--;
    return /[0-9\u06f0-\u06f9]/.test(piece.slice(from, to)) && to - from > 1 ? [from, to] : [0, 0];
  };

  // Draw a piece of a text. `letters(parent, from, to)` appends plain characters; `parent` gets whatever else is needed.
  Stepmark.drawSeldom = (parent, piece, at, letters, isRightToLeft) => {
    const visible = (parent, from, to) => {
      for (const [place, part] of piece.slice(from - at, to - at).split(UNSEEN).entries()) {
        const until = from + part.length;
        if (place % 2) {
          const code = `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
          const unseen = Object.assign(document.createElement("span"), { className: "unseen", title: `invisible character ${code}` });
          unseen.dataset.code = code;
          parent.append(unseen);
          letters(unseen, from, until);
        } else letters(parent, from, until);
        from = until;
      }
    };
    if (!isRightToLeft) return visible(parent, at, at + piece.length);
    let from = at;
    for (const [place, part] of piece.split(SUM).entries()) {
      const [left, right] = place % 2 ? sumIn(part, piece[from - at - 1]) : [0, 0];
      if (right) {
        const sum = Object.assign(document.createElement("bdi"), { dir: "ltr" });
        visible(parent, from, from + left);
        parent.append(sum);
        visible(sum, from + left, from + right);
      }
      visible(parent, from + right, (from += part.length));
    }
    return undefined;
  };
})();
