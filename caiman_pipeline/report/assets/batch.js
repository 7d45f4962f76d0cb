"use strict";
(() => {
  const body = document.querySelector("#recordings tbody");
  const rows = [...body.rows];
  const chips = [...document.querySelectorAll(".chip")];
  const filter = document.getElementById("filter");

  function show() {
    const wanted = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.state);
    const text = filter.value.trim().toLowerCase();
    for (const row of rows) {
      const fits = (!wanted.length || wanted.includes(row.dataset.state)) && row.textContent.toLowerCase().includes(text);
      row.hidden = !fits;
    }
  }
  filter.addEventListener("input", show);
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      show();
    });
  }

  const heads = [...document.querySelectorAll("th")];
  heads.forEach((head, column) => {
    if (!head.dataset.kind) return;
    head.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === (head.dataset.kind === "text" ? "ascending" : "descending")
        ? head.dataset.kind === "text" : head.dataset.kind !== "text";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        return head.dataset.kind === "number" ? Number(cell.dataset.sort) : cell.textContent;
      };
      const order = (a, b) => (head.dataset.kind === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
      const sorted = rows.slice().sort((a, b) => (down ? -1 : 1) * order(value(a), value(b)));
      body.append(...sorted);
    });
  });
})();
