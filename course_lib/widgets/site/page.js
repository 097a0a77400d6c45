// Draws the figures a page holds, and lets what scrolls sideways take the keyboard's focus.
"use strict";

function draw(holder) {
  const { data, layout } = JSON.parse(holder.querySelector("script").textContent);
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
