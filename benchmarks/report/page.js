"use strict";
/* Draws the figures of the page and filters figures, table rows and sections by method and task. */
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const chips = [...document.querySelectorAll(".chip")];
  const task = document.getElementById("task");
  const toggles = { published: document.getElementById("published"), seed: document.getElementById("seeds") };
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  const axis = {
    gridcolor: "#e6eaf0", linecolor: "#7b8492", zerolinecolor: "#c3cad4", ticks: "outside", tickcolor: "#7b8492",
    ticklen: 4, showline: true, automargin: true, title: { standoff: 8, font: { size: 13 } },
  };

  const join = (base, own) => {
    const title = typeof own?.title === "string" ? { title: { ...base.title, text: own.title } } : {};
    return { ...base, ...own, ...title };
  };
  const layout = (own) => ({
    font: { family: '"Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif', size: 12, color: "#14181f" },
    margin: { l: 62, r: 40, t: 24, b: 48 }, showlegend: false, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    hoverlabel: { namelength: -1, font: { size: 12 } },
    ...own, xaxis: join(axis, own.xaxis), yaxis: join(axis, own.yaxis),
  });

  const chosen = () => new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.method));
  const visible = (trace, methods) => {
    const { method, kind } = trace.meta;
    if (method !== undefined && !methods.has(method)) return false;
    if (kind === "published") return toggles.published.checked;
    if (kind === "seed") return toggles.seed.checked;
    if (kind === "band") return !toggles.seed.checked;
    return true;
  };
  const traces = (name, methods) => figures[name].data.map((t) => visible(t, methods));

  function apply() {
    const methods = chosen();
    for (const node of document.querySelectorAll("[data-task]")) {
      node.hidden = task.value !== "" && node.dataset.task !== task.value;
    }
    for (const row of document.querySelectorAll("tr[data-method]")) row.hidden = !methods.has(row.dataset.method)
      || (row.dataset.ofTask !== undefined && task.value !== "" && row.dataset.ofTask !== task.value);
    for (const plot of plots) {
      if (!plot.dataset.drawn || plot.offsetParent === null) continue;
      Plotly.restyle(plot, { visible: traces(plot.dataset.figure, methods) });
      Plotly.Plots.resize(plot);
    }
  }

  function draw(index) {
    if (index === plots.length) { document.body.dataset.ready = "yes"; return; }
    const plot = plots[index], figure = figures[plot.dataset.figure], shown = traces(plot.dataset.figure, chosen());
    if (figure.layout.height) plot.style.height = `${figure.layout.height}px`;
    const data = figure.data.map((trace, i) => ({ ...trace, visible: shown[i] }));
    Plotly.newPlot(plot, data, layout(figure.layout), config).then(() => {
      plot.dataset.drawn = "yes";
      setTimeout(draw, 0, index + 1);
    });
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      apply();
    });
    chip.addEventListener("dblclick", () => {
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      apply();
    });
  }
  const picks = { all: () => true, none: () => false, constrained: (c) => c.dataset.constrained === "yes",
    unconstrained: (c) => c.dataset.constrained !== "yes" };
  for (const button of document.querySelectorAll("[data-pick]")) {
    button.addEventListener("click", () => {
      for (const chip of chips) chip.setAttribute("aria-pressed", String(picks[button.dataset.pick](chip)));
      apply();
    });
  }
  for (const input of [task, ...Object.values(toggles)]) input.addEventListener("change", apply);
  draw(0);
})();
