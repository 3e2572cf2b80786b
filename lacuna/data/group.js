'use strict';
for (const table of document.querySelectorAll('table.sortable')) {
  table.querySelectorAll('th button').forEach((button, column) => {
    button.onclick = () => {
      const up = button.dataset.order !== 'up';
      table.querySelectorAll('th').forEach((head) => head.removeAttribute('aria-sort'));
      table.querySelectorAll('th button').forEach((other) => delete other.dataset.order);
      button.dataset.order = up ? 'up' : 'down';
      button.parentElement.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        const difference = Number(one) - Number(other);
        const order = Number.isNaN(difference) ? one.localeCompare(other) : difference;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    };
  });
}
