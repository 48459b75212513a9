"use strict";
// Ratios follow the chosen contestant; a tapped row tells its samples below the chart.
(function () {
  const base = document.getElementById("base");

  function text(ratio) {
    if (!isFinite(ratio)) return "-";
    return ratio.toFixed(ratio >= 100 ? 0 : ratio >= 10 ? 1 : 2) + "x";
  }

  function show() {
    for (const svg of document.querySelectorAll("svg")) {
      const rows = [...svg.querySelectorAll("g[data-median]")];
      const found = rows.find((row) => row.dataset.name === base.value);
      for (const row of rows) {
        row.querySelector(".ratio").textContent =
          found ? text(row.dataset.median / found.dataset.median) : "";
      }
    }
  }

  function tell(event) {
    const row = event.target.closest("g[data-told]");
    if (row) row.closest("figure").querySelector(".told").textContent = row.dataset.told;
  }

  base.addEventListener("change", show);
  document.addEventListener("click", tell);
  document.addEventListener("focusin", tell);
  show();
})();
