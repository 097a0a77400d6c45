// The card of a guided tour. The kernel says what stands on it and when a step is done; here it is
// put next to the element that it names, which is framed, and takes the focus.

const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.onclick = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};

// The places in a widget that a card may stand in, from the innermost.
const PLACES = ".ir1-group, .ir1-plain, .ir1-controls, .ir1-shown, .ir1-frame";

async function render({ model, el }) {
  let drawn = { place: 0, of: 0, reply: "", say: "", task: "", options: [], at: "" };
  const card = make("section", { class: "ir1-tour", tabindex: "-1", "aria-label": "Guided tour" });
  const frame = make("style", {});
  const go = (place) => model.send({ place });
  const choose = (option) => model.send({ option });
  const button = (words, act) => make("button", { type: "button", class: "jupyter-button", onclick: act }, words);
  const target = () => (drawn.at ? document.querySelector(drawn.at) : null);
  // JupyterLab takes keys for its own wherever the element that has the focus lacks this mark.
  card.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
  card.addEventListener("keydown", (event) => { if (event.key === "Escape" && drawn.place) go(0); });

  function show() {
    const found = target();
    found?.scrollIntoView({ block: "center" });
    const inner = "button, input, select, textarea, summary, a[href], [tabindex='0']";
    (found?.matches(inner) ? found : found?.querySelector(inner))?.focus({ preventScroll: true });
  }

  /** Next to the element where that is in this widget, else where the button was. */
  function settle() {
    const home = el.closest(".ir1-frame");
    let host = home?.contains(target()) ? target() : null;
    while (host && !host.parentElement.matches(PLACES)) host = host.parentElement;
    if (host) host.before(card);
    else el.append(card);
  }

  function draw() {
    const { place, of, reply, say, task, options, at } = drawn;
    frame.textContent = at ? `${at} { outline: 3px solid #874be1; outline-offset: -3px; }` : "";
    if (!place) return card.replaceChildren(button(`Tour (${of} steps)`, () => go(1)));
    card.replaceChildren(
      make("p", { class: "ir1-tour-place" }, place > of ? "Tour: done" : `Tour: step ${place} of ${of}`),
      ...(reply ? [make("p", {}, reply)] : []),
      make("p", {}, say, " ", make("strong", {}, task)),
      make("p", { class: "ir1-tour-row" }, ...options.map((option) => button(option, () => choose(option)))),
      make("p", { class: "ir1-tour-row" },
        ...(at ? [button("Show me", show)] : []),
        ...(place > of ? [button("Begin again", () => go(1))] : []),
        button(place > of ? "Close" : "Leave the tour", () => go(0))));
  }

  /** A step has come or gone: the card moves, and so do eyes and focus, which a reader reads out. */
  function change() {
    draw();
    settle();
    (drawn.place ? card : card.firstChild).focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    uncover(target());
  }

  /** What is framed may stand beside what its own scrolling box shows, as a table's last column. */
  function uncover(found) {
    for (let box = found?.parentElement; box && !box.matches(".ir1-frame"); box = box.parentElement) {
      const [is, room] = [found, box].map((part) => part.getBoundingClientRect());
      if (box.scrollWidth > box.clientWidth) box.scrollLeft += is.left + is.width / 2 - room.left - room.width / 2;
    }
  }

  el.append(card, frame);
  const deafen = await hear(model, (told) => {
    const first = !drawn.of;
    drawn = JSON.parse(told);
    if (first) draw();
    else change();
  });
  return () => { deafen(); card.remove(); };
}

export default { render };
