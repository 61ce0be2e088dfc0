// Narrows the table of this page while somebody types; without it the form asks the server.
"use strict";
document.documentElement.classList.add("scripted");
const narrow = () => {
  for (const field of document.querySelectorAll("[data-filter]")) {
    const table = document.getElementById(field.dataset.filter);
    if (!table) continue;
    const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const [row, text] of rows) row.hidden = !words.every((word) => text.includes(word));
    });
  }
  for (const form of document.querySelectorAll("form.only-script")) {
    form.addEventListener("submit", (event) => event.preventDefault());
  }
};
narrow();
document.addEventListener("shown", narrow);
