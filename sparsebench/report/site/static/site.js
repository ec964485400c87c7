// Makes every table sortable (headings become buttons) and searchable. Without it they read as they are.
"use strict";

const collator = new Intl.Collator(undefined, { numeric: true });
const FEW_ROWS = 8; // a table that can be read at a glance needs no search

function sortKey(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return collator.compare(String(a), String(b));
}

function isMissing(key) {
  return key === "" || key === "-" || Number.isNaN(key);
}

function sortBy(table, heading, column) {
  const numeric = heading.classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const other = numeric ? "ascending" : "descending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  const sign = order === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map((row) => [sortKey(row, column), row]);
  keyed.sort(([a], [b]) => isMissing(a) - isMissing(b) || sign * compare(a, b));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
  for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, heading, column));
    heading.append(button);
  });
}

function makeSearchable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= FEW_ROWS) return;
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  label.className = "search";
  input.type = "search";
  label.append(`Search in ${table.caption.textContent}`, input);
  count.textContent = `${rows.length} rows`;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  });
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.append(label, count);
  table.parentElement.before(tools);
}

function makeCopyable(command) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the command");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  command.append(button);
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  makeSortable(table);
  makeSearchable(table);
}
if (navigator.clipboard) document.querySelectorAll(".command").forEach(makeCopyable);
