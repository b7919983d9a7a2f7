// Copies a link that a page shows once. Without a clipboard, such as on a site without TLS, the link is selected instead.
(() => {
  "use strict";
  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = document.getElementById(button.dataset.copy), words = button.firstChild, before = words.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      let isCopied = false;
      try {
        await navigator.clipboard.writeText(field.value);
        isCopied = true;
      } catch { isCopied = document.execCommand("copy"); }
      words.textContent = isCopied ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { words.textContent = before; }, 4000);
    });
  }
})();
