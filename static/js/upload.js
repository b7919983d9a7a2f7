// The upload of a file: drop it, see how far it is, and hear at once that it is too large. Without this script the form works as well.
(() => {
  "use strict";
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const input = form.querySelector("input[type=file]"), fault = form.querySelector("[data-upload-fault]");
  const bar = form.querySelector("progress"), status = form.querySelector("[data-upload-status]"), button = form.querySelector("button");

  const refuse = (text) => {
    fault.textContent = text;
    fault.hidden = !text;
    if (!text) return;
    bar.hidden = true;
    button.disabled = false;
    status.textContent = "";
    input.focus();
  };
  const isFit = (file) => {
    const isLarge = file && file.size > Number(form.dataset.most) * 1e6;
    refuse(isLarge ? `${file.name} is larger than ${form.dataset.most} MB. Compress it with gzip, or divide it.` : "");
    return file && !isLarge;
  };
  input.addEventListener("change", () => isFit(input.files[0]));

  for (const name of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(name, (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      form.toggleAttribute("data-over", name === "dragover");
      if (name !== "drop") return;
      if (event.dataTransfer.files.length !== 1) return refuse("Drop one file at a time.");
      input.files = event.dataTransfer.files;
      if (isFit(input.files[0])) form.requestSubmit();
    });
  }

  form.addEventListener("submit", (event) => {
    if (!input.files[0]) return; // the browser or the server says that a file is missing
    event.preventDefault();
    if (!isFit(input.files[0])) return;
    const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
    button.disabled = true;
    bar.hidden = false;
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const percent = Math.floor((100 * loaded) / total);
      bar.value = percent;
      status.textContent = percent < 100 ? `${percent} % uploaded` : "Uploaded. The server writes the file.";
    });
    request.addEventListener("load", () => {
      if (request.status === 200) return location.assign(request.responseURL);
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const said = page.querySelector("[data-upload-fault]:not([hidden])") ?? page.querySelector("main p");
      refuse(said?.textContent.trim() || `The server answered with the error ${request.status}. Nothing was stored. Try again.`);
    });
    request.addEventListener("error", () => refuse("The upload broke off, because the server cannot be reached. Nothing was stored. Try again."));
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
})();
