// Sorts a table of the course by the column whose heading is pressed; again, the other way round.
window.ir1Sorts ??= (document.addEventListener("click", (event) => {
  const head = event.target.closest?.(".ir1-table th button")?.parentElement;
  if (!head) return;
  const up = head.getAttribute("aria-sort") === "descending";
  const value = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
  const order = (a, b) => (a - b) || String(a).localeCompare(String(b), undefined, { numeric: true });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0];
  body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b))));
}), true);
