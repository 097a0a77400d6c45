// Draws the figures a page holds, and lets what scrolls sideways take the keyboard's focus.
"use strict";

// A phone has no room for long names beside bars, for many numbers, nor for a key close below them.
function folded(figure) {
  const short = (name) => typeof name === "string" ? name.replace(/(.{9,}?) /g, "$1<br>") : name;
  const lying = (trace) => trace.orientation === "h" && Array.isArray(trace.y);
  return {
    data: figure.data.map((trace) => lying(trace) ? { ...trace, y: trace.y.map(short) } : trace),
    layout: {
      ...figure.layout,
      xaxis: { nticks: 5, ...figure.layout.xaxis },
      legend: { ...figure.layout.legend, y: -0.35, yanchor: "top" },
    },
  };
}

function draw(holder) {
  const figure = JSON.parse(holder.querySelector("script").textContent);
  const { data, layout } = innerWidth < 600 ? folded(figure) : figure;
  const room = document.createElement("div");
  holder.append(room);
  Plotly.newPlot(room, data, layout, { responsive: true, displayModeBar: false });
}

const SCROLLS = "pre, p, .cell_output .output, .wide, math[display=block]";

function focusWhatScrolls() {
  for (const part of document.querySelectorAll(SCROLLS)) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

// What was drawn in a fold takes its width when that is opened.
function unfolded(event) {
  if (event.target.open) event.target.querySelectorAll(".js-plotly-plot").forEach(Plotly.Plots.resize);
}

document.querySelectorAll(".figure").forEach(draw);
document.addEventListener("toggle", unfolded, true);
focusWhatScrolls();
// Each part is watched by itself: a side bar's slide, a fold, a late font change one and not the page.
const widths = new ResizeObserver(focusWhatScrolls);
document.querySelectorAll(SCROLLS).forEach(part => widths.observe(part));
document.fonts.addEventListener("loadingdone", focusWhatScrolls);
addEventListener("load", focusWhatScrolls);
