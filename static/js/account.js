// Proposes the browser's time zone to a person who chose none. Nothing is stored until they save.
(() => {
  "use strict";
  const field = document.getElementById("preferences-time_zone"), note = document.querySelector("[data-zone-note]");
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (field.value || !timeZone || ![...field.options].some(({ value }) => value === timeZone)) return;
  field.value = timeZone;
  note.textContent = `Your browser is in ${timeZone.replaceAll("_", " ")}. Save to use this time zone.`;
  note.hidden = false;
})();
