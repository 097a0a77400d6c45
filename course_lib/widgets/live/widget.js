// The explorer in a notebook (anywidget): its models come from the kernel, with the learner's own.

function render({ model, el }) {
  const offers = model.get("models").map(({ label, about, header, weights }) => {
    let made = null;
    const bytes = () => new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
    return { label, about, load: async () => (made ??= new Model(header, bytes())) };
  });
  const root = document.createElement("div");
  // JupyterLab takes arrow keys for its own wherever the element that has the focus lacks this mark.
  root.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
  el.append(root);
  new Explorer(root, offers, { second: offers.length > 1 ? 1 : -1, puzzle: model.get("puzzle") });
}
