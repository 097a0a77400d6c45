// Draws the figures a page holds, and lets what scrolls sideways take the keyboard's focus.
"use strict";

const FOOT = { yref: "container", y: 0, yanchor: "bottom" };

// A phone has no room for long names beside bars, for many numbers, for titles that are longer than
// the picture is wide, for parts side by side, nor for a key anywhere but at its foot.
function folded(figure) {
  const lines = (name) => new RegExp(`(.{${Math.max(9, Math.ceil(name.length / 2) - 4)},}?) `, "g");
  const short = (name) => typeof name === "string" ? name.replace(lines(name), "$1<br>") : name;
  const lying = (trace) => trace.orientation === "h" && Array.isArray(trace.y);
  const fitted = (title, room) => title?.text?.length > room
    ? { ...title, font: { ...title.font, size: Math.max(9, 16 * room / title.text.length) } } : title;
  const bar = { orientation: "h", x: 0.5, thickness: 10, ...FOOT };
  const bare = (trace) => trace.mode?.includes("+text")
    ? { ...trace, mode: trace.mode.replace("+text", "") }  // the words below name them
    : trace.colorbar ? { ...trace, colorbar: { ...trace.colorbar, ...bar } } : trace;
  const { layout } = figure;
  const notes = layout.annotations ?? [];
  return {
    data: figure.data.map((trace) => lying(trace) ? { ...trace, y: trace.y.map(short) } : bare(trace)),
    layout: {
      ...layout,
      title: fitted(layout.title, 29),
      annotations: notes.map((note) => note.showarrow === false ? fitted(note, 30) : note),
      xaxis: { nticks: 5, ...layout.xaxis },
      legend: { ...layout.legend, ...FOOT },
      ...piled(layout),
    },
  };
}

// What changes in a layout whose parts stand side by side, so that they stand one under another.
function piled(layout) {
  const parts = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name) && layout[name].domain);
  if (new Set(parts.map((name) => String(layout[name].domain))).size < 2) return {};
  const top = (part) => 1 - part / parts.length;
  const titles = layout.annotations?.map(
    (note, part) => part < parts.length ? { ...note, x: 0.5, y: top(part) } : note);
  const made = { height: 120 + 280 * parts.length, annotations: titles };
  parts.forEach((name, part) => {
    const beside = `yaxis${layout[name].anchor.slice(1)}`;
    made[name] = { ...layout[name], domain: [0, 1], showticklabels: true };
    made[beside] = {
      ...layout[beside], domain: [top(part) - 0.65 / parts.length, top(part)], showticklabels: true,
    };
  });
  return made;
}

const phone = matchMedia("(max-width: 600px)");

// The key stands at a figure's foot, under the words of its axis.
const keyed = ({ data, layout }) => ({
  data,
  layout: {
    ...layout,
    legend: { orientation: "h", ...layout.legend, ...FOOT },
    margin: { b: 80, ...layout.margin },
  },
});

function draw(holder) {
  const figure = JSON.parse(holder.querySelector("script").textContent);
  const { data, layout } = phone.matches ? folded(figure) : keyed(figure);
  const room = holder.querySelector(".js-plotly-plot") ?? holder.appendChild(document.createElement("div"));
  Plotly.newPlot(room, data, layout, { responsive: true, displayModeBar: false });
}

const drawAll = () => document.querySelectorAll(".figure").forEach(draw);

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

// A print without columns is sentences: they are broken on a phone, where columns scroll.
for (const print of document.querySelectorAll(".cell_output pre")) {
  print.classList.toggle("sentences", !/\S {2,}\S/.test(print.textContent));
}

drawAll();
phone.addEventListener("change", drawAll);  // a phone is turned, a window made narrow
document.addEventListener("toggle", unfolded, true);
focusWhatScrolls();
// Each part is watched by itself: a side bar's slide, a fold, a late font change one and not the page.
const widths = new ResizeObserver(focusWhatScrolls);
document.querySelectorAll(SCROLLS).forEach(part => widths.observe(part));
document.fonts.addEventListener("loadingdone", focusWhatScrolls);
addEventListener("load", focusWhatScrolls);
