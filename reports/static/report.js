// Draws the page's charts in the colours of the theme, follows its changes, and opens everything for paper.
"use strict";
(() => {
  const source = document.getElementById("figures");
  const figures = source ? JSON.parse(source.textContent) : {};
  const config = { displayModeBar: false, responsive: false, doubleClick: false };
  const PAPER_PX = 680;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const drawn = new Map();
  let printing = false;

  // "--name" or "--name/0.2" becomes the colour that the style sheet gives it now.
  const themed = (value, styles) => {
    if (Array.isArray(value)) return value.map((item) => themed(item, styles));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, styles)]));
    }
    const match = typeof value === "string" && /^(--[a-z0-9-]+)(?:\/([0-9.]+))?$/.exec(value);
    if (!match) return value;
    const colour = styles.getPropertyValue(match[1]).trim();
    if (!match[2]) return colour;
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${match[2]})`;
  };

  const draw = (chart) => {
    const figure = figures[chart.id];
    const width = printing ? PAPER_PX : chart.clientWidth;
    if (!figure || !width || !window.Plotly) return;
    const { data, layout } = themed(figure, getComputedStyle(document.documentElement));
    drawn.set(chart, width);
    Plotly.react(chart, data, { ...layout, width }, config);
  };
  const all = () => document.querySelectorAll(".chart");
  const redraw = () => all().forEach(draw);

  // One panel of "lift over time" at a time; without this script all of them are there.
  document.querySelectorAll("[data-switch]").forEach((section) => {
    const select = section.querySelector("select");
    if (!select) return;
    const show = () => {
      section.querySelectorAll(".panel").forEach((panel) => {
        panel.hidden = panel.id !== select.value;
        if (!panel.hidden) panel.querySelectorAll(".chart").forEach(draw);
      });
    };
    section.querySelector(".switch").hidden = false;
    select.addEventListener("change", show);
    show();
  });

  const toPaper = () => {
    if (printing) return;
    printing = true;
    document.querySelectorAll("details:not([open])").forEach((item) => {
      item.open = true;
      item.dataset.opened = "";
    });
    document.querySelectorAll(".panel[hidden]").forEach((panel) => {
      panel.hidden = false;
      panel.dataset.shown = "";
    });
    redraw();
  };
  const fromPaper = () => {
    if (!printing) return;
    printing = false;
    document.querySelectorAll("details[data-opened]").forEach((item) => {
      item.open = false;
      delete item.dataset.opened;
    });
    document.querySelectorAll(".panel[data-shown]").forEach((panel) => {
      panel.hidden = true;
      delete panel.dataset.shown;
    });
    redraw();
  };
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", fromPaper);
  paper.addEventListener("change", () => (paper.matches ? toPaper() : fromPaper()));
  dark.addEventListener("change", redraw);

  const observer = new ResizeObserver((entries) => {
    if (printing) return;
    entries.forEach(({ target }) => {
      if (target.clientWidth !== drawn.get(target)) draw(target);
    });
  });
  all().forEach((chart) => observer.observe(chart));
  redraw();
  document.documentElement.dataset.ready = "";
})();
