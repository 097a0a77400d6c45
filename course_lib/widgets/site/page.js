// Draws the figures a page holds, and lets what scrolls sideways take the keyboard's focus.
"use strict";

function draw(holder) {
  const { data, layout } = JSON.parse(holder.querySelector("script").textContent);
  const room = document.createElement("div");
  holder.append(room);
  Plotly.newPlot(room, data, layout, { responsive: true, displayModeBar: false });
}

function focusWhatScrolls() {
  for (const part of document.querySelectorAll("pre, p, .cell_output .output, .wide, math[display=block]")) {
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
new ResizeObserver(focusWhatScrolls).observe(document.body);
addEventListener("load", focusWhatScrolls);
