// What all pages but the labeling page share: when a part of the page cannot be loaded, it says so, until a part is loaded again.
(() => {
  "use strict";
  const UNREACHABLE = "The server cannot be reached at the moment.", MISSING = "The server does not answer at the moment.";
  const notice = Object.assign(document.createElement("p"), { className: "notice bad", hidden: true });
  notice.setAttribute("role", "status");
  notice.dataset.outage = "";
  document.getElementById("main").prepend(notice);

  const whatIsMissing = (answer) => {
    if (!answer.status) return UNREACHABLE;
    if (answer.status < 502) return `The server answered with the error ${answer.status}.`;
    try { return JSON.parse(answer.responseText).what || MISSING; } catch { return MISSING; } // a proxy answers with HTML
  };
  const show = ({ detail: { xhr } }) => {
    notice.textContent = `${whatIsMissing(xhr)} This part of the page could not be loaded, and nothing was changed. Try again in a moment.`;
    notice.hidden = false;
  };
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, show);
  document.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.successful) notice.hidden = true; });
})();
