// What is seen: a token at a time, its chances, its experts, what it looked at, and a group's step.
// Text goes into the page as text only: nothing that is typed or written by a model becomes HTML.

const SHOWN = 5; // the likeliest tokens that are listed
const GROUP = 16; // answers of a group, as in training
const PACES = [["2 tokens a second", 2], ["8 tokens a second", 8], ["30 tokens a second", 30], ["as fast as it can", Infinity]];

/** An element with attributes (`on...` are listeners) and children, which are elements or text. */
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "rect", "line", "text", "title", "g"].includes(tag);
  const made = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const percent = (p) => (p >= 0.9995 ? "100 %" : p < 0.0005 ? "under 0.1 %" : `${(100 * p).toFixed(1)} %`);
const number = (x, digits) => x.toFixed(digits).replace("-", "−");
const signed = (x, digits = 3) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;

/** A token's text so that it can be seen: special tokens by a word, blanks as a mark. */
function visible(model, id) {
  if (id === model.eos) return "⟨end⟩";
  const text = model.decode([id]);
  const special = /^<｜(.*)｜>$/.exec(text);
  if (special) return `⟨${special[1].replaceAll("▁", " ")}⟩`;
  const trimmed = text.trim() || text.replace(/ /g, "␣").replace(/\n/g, "↵");
  return trimmed || `⟨byte ${model.raw[id]}⟩`;
}

function cells(tag, texts, attributes = {}) {
  return texts.map((text) => make(tag, attributes, text));
}

/** A table with a caption; the first cell of every row is its name. */
function table(caption, heads, rows, marked = () => false) {
  return make("div", { class: "live-scroll", tabindex: 0, role: "group", "aria-label": caption },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...cells("th", heads, { scope: "col" }))),
      make("tbody", {}, ...rows.map((row, i) => make("tr", { class: marked(i) ? "live-marked" : null },
        make("th", { scope: "row" }, row[0]), ...cells("td", row.slice(1)))))));
}

/** The likeliest tokens of a distribution, each with a bar. */
function likeliest(model, chances, caption, chosen = null) {
  const ids = best(chances, SHOWN);
  if (chosen !== null && !ids.includes(chosen)) ids.push(chosen);
  return make("table", { class: "live-likeliest" }, make("caption", {}, caption),
    make("tbody", {}, ...ids.map((id) => make("tr", { class: id === chosen ? "live-marked" : null },
      make("th", { scope: "row" }, visible(model, id)),
      make("td", { class: "live-bar" }, make("span", { style: `width:${100 * chances[id]}%` })),
      make("td", {}, percent(chances[id]), id === chosen ? " ← taken" : "")))));
}

/** Which experts each token was sent to: a column a token, a row an expert, darker for more weight. */
class ExpertMap {
  constructor(onPick) {
    this.onPick = onPick;
    this.box = make("div", { class: "live-scroll", tabindex: 0, role: "group", "aria-label": "Experts of every token" });
    this.names = make("div", {});
    this.words = make("p", { class: "live-twin" });
    this.element = make("details", { open: true }, make("summary", {}, "Which experts each token was sent to"),
      make("div", { class: "live-map" }, this.names, this.box), this.words);
  }

  clear(model) {
    this.model = model;
    this.layers = model.sparseLayers;
    this.loads = this.layers.map(() => []);
    this.columns = 0;
    this.box.replaceChildren();
    this.names.replaceChildren();
    this.box.hidden = !this.layers.length;
    this.words.textContent = this.layers.length ? "" : "A dense model: every token goes through all of its weights, and there is nothing to route.";
    if (!this.layers.length) return;
    this.experts = model.tensor(`layers.${this.layers[0]}.mlp.gate.weight`).rows;
    this.high = this.layers.length * (this.experts * 11 + 22);
    this.svg = make("svg", { height: this.high, role: "img", "aria-label": "Described in the text that follows", onclick: (event) => this.picked(event) });
    this.mark = make("rect", { class: "live-column", width: 13, height: this.high, x: -20, y: 0 });
    this.svg.append(this.mark);
    const names = make("svg", { height: this.high, width: 44, "aria-hidden": "true" });
    this.layers.forEach((layer, i) => {
      const top = i * (this.experts * 11 + 22);
      names.append(make("text", { x: 0, y: top + 12 }, `layer ${layer + 1}`));
      for (let expert = 0; expert < this.experts; expert++) {
        const y = top + 18 + 11 * expert;
        names.append(make("text", { x: 38, y: y + 9, "text-anchor": "end" }, String(expert)));
        this.svg.append(make("line", { x1: 0, x2: 100000, y1: y + 5, y2: y + 5 }));
      }
    });
    this.names.append(names);
    this.box.append(this.svg);
  }

  add(token, at) {
    if (!this.layers.length || !token.routes) return;
    this.columns = at + 1;
    this.svg.setAttribute("width", 4 + 13 * this.columns);
    this.layers.forEach((layer, i) => {
      const { experts, weights } = token.routes[layer];
      experts.forEach((expert, j) => {
        this.loads[i][expert] = (this.loads[i][expert] ?? 0) + 1;
        const y = i * (this.experts * 11 + 22) + 18 + 11 * expert;
        this.svg.append(make("rect", { class: `live-expert${i}`, x: 1 + 13 * at, y, width: 12, height: 10, "fill-opacity": 0.25 + 0.75 * Math.min(1, weights[j]) },
          make("title", {}, `token ${at + 1}, layer ${layer + 1}, expert ${expert}: weight ${weights[j].toFixed(2)}`)));
      });
    });
    this.box.scrollLeft = this.box.scrollWidth;
  }

  /** The map in words, once it stands. */
  say() {
    if (!this.layers.length || !this.columns) return;
    this.words.textContent = this.layers.map((layer, i) => {
      const loads = Float64Array.from({ length: this.experts }, (_, e) => this.loads[i][e] ?? 0);
      const [first] = best(loads, 1);
      const idle = Array.from(loads.keys()).filter((e) => !loads[e]);
      const unused = idle.length ? `; not used: ${idle.join(", ")}` : "; every expert was used";
      return `Layer ${layer + 1}: expert ${first} took most, ${loads[first]} of ${this.columns} tokens${unused}.`;
    }).join(" ");
  }

  select(at) {
    this.mark?.setAttribute("x", 0.5 + 13 * at);
  }

  picked(event) {
    const at = Math.floor((event.clientX - this.svg.getBoundingClientRect().left - 1) / 13);
    if (at >= 0 && at < this.columns) this.onPick(at);
  }
}

/** One model's answer: its tokens, what may come next, the verdict, the map of experts. */
class Pane {
  constructor(name, onSelect) {
    this.onSelect = (at) => { this.select(at); onSelect(this, at); };
    this.title = make("h3", {}, name);
    this.tokens = make("div", { class: "live-tokens", role: "group", "aria-label": `Tokens of ${name}`, onkeydown: (event) => this.keyed(event) });
    this.chances = make("div", {});
    this.said = make("p", { class: "live-verdict" });
    this.map = new ExpertMap(this.onSelect);
    this.element = make("section", { class: "live-pane", "aria-label": name }, this.title, this.tokens, this.said, this.chances, this.map.element);
  }

  start(label, writing) {
    this.label = label;
    this.writing = writing;
    this.selected = -1;
    this.buttons = [];
    this.title.textContent = label;
    this.element.setAttribute("aria-label", label);
    this.said.textContent = "";
    this.tokens.replaceChildren();
    this.map.clear(writing.model);
    writing.tokens.forEach((token, at) => this.add(token, at));
    this.refresh();
  }

  /** One more token; false where the answer had ended. */
  step(given = null) {
    const token = this.writing.step(given);
    if (!token) return false;
    this.add(token, this.writing.tokens.length - 1);
    this.refresh();
    return true;
  }

  add(token, at) {
    const { model } = this.writing;
    const text = visible(model, token.id);
    const chance = token.chances ? `, probability ${percent(token.chances[token.id])}` : ", part of the question";
    const known = token.chances ? token.chances[token.id] : 1;
    const button = make("button", {
      type: "button", class: `live-token${token.prompt ? " live-prompt" : ""}`, tabindex: at ? -1 : 0, "aria-pressed": "false",
      "aria-label": `Token ${at + 1}: ${text}${chance}`, style: `--known:${known.toFixed(3)}`, onclick: () => this.onSelect(at),
    }, text);
    this.buttons.push(button);
    this.tokens.append(button);
    const said = model.decode([token.id]);
    const last = token.prompt && at + 1 === this.writing.prompt;
    if (last || (!token.prompt && [" no", " yes", OPEN, CLOSE].includes(said))) this.tokens.append(make("span", { class: "live-break" }));
    this.map.add(token, at);
  }

  refresh() {
    const { writing } = this;
    if (writing.done) {
      this.chances.replaceChildren();
      this.said.textContent = this.verdict();
      this.map.say();
    } else {
      this.chances.replaceChildren(likeliest(writing.model, softmax(writing.logits, writing.temperature || 1), "What may come next"));
    }
  }

  verdict() {
    const { writing } = this;
    const cut = writing.ids.at(-1) !== writing.model.eos;
    const found = verdict(writing.puzzle, writing.text);
    return cut ? `Cut off after ${writing.ids.length} tokens. ${found}` : found;
  }

  select(at) {
    this.buttons[this.selected]?.setAttribute("aria-pressed", "false");
    this.buttons.forEach((button, i) => { button.tabIndex = i === at ? 0 : -1; });
    this.buttons[at]?.setAttribute("aria-pressed", "true");
    this.selected = at;
    this.map.select(at);
  }

  keyed(event) {
    const now = this.buttons.indexOf(event.target);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: this.buttons.length - 1 }[event.key];
    if (now < 0 || to === undefined || !this.buttons[to]) return;
    event.preventDefault();
    this.buttons[to].focus();
    this.onSelect(to);
  }
}

/** A token taken apart: how likely it was, its route in every layer, what each head looked at. */
class Inspector {
  constructor() {
    this.body = make("div", { class: "live-columns" });
    this.layer = choice("Layer", [["1", 0]], () => this.look());
    this.head = choice("Head", [["mean of all", -1]], () => this.look());
    this.looked = make("div", {});
    this.element = make("section", { class: "live-inspector", "aria-label": "One token taken apart" },
      make("h3", {}, "One token taken apart"),
      make("p", { class: "live-hint" }, "Click a token above, or go to it with Tab and the arrow keys: its route through the experts and what it looked at are worked out here."),
      this.body);
    this.hint = this.element.querySelector(".live-hint");
  }

  clear() {
    this.hint.hidden = false;
    this.body.replaceChildren();
  }

  show(pane, at) {
    const { writing } = pane, { model } = writing, token = writing.tokens[at];
    Object.assign(this, { writing, at });
    this.hint.hidden = true;
    const name = `Token ${at + 1} of ${pane.label}: ${visible(model, token.id)}`;
    const first = make("div", {}, make("h4", {}, name), this.chance(token));
    const parts = [first];
    if (token.routes) {
      first.append(...this.attention(token));
      parts.push(make("div", {}, make("h4", {}, "Its experts"), ...this.routes(token)));
    } else first.append(make("p", {}, "It ended the text. The model never read it, so it has no route and looked at nothing."));
    this.body.replaceChildren(...parts);
  }

  chance(token) {
    if (token.prompt) return make("p", {}, "Part of the question: it was given, not written.");
    return likeliest(this.writing.model, token.chances, `What it was drawn from${this.writing.temperature ? ` (temperature ${this.writing.temperature})` : " (the likeliest is taken)"}`, token.id);
  }

  routes(token) {
    const { model } = this.writing, { config } = model;
    if (!model.sparseLayers.length) return [make("p", {}, "A dense model has none: every token goes through all weights.")];
    const grouped = config.n_group > 1;
    const heads = ["expert", ...(grouped ? ["group"] : []), "logit", "score", "bias", "for choosing", "weight"];
    const tables = model.sparseLayers.map((layer) => {
      const found = token.routes[layer];
      const rows = found.scores.map((score, expert) => {
        const place = found.experts.indexOf(expert);
        const weight = place >= 0 ? `${score.toFixed(3)} / ${found.sum.toFixed(3)} = ${found.weights[place].toFixed(3)}`
          : found.stays[found.group(expert)] ? "0" : "group lost";
        return [String(expert), ...(grouped ? [String(found.group(expert))] : []), number(found.logits[expert], 2),
          score.toFixed(3), signed(found.bias[expert]), number(found.biased[expert], 3), weight];
      });
      return table(`Layer ${layer + 1}: experts ${found.experts.join(" and ")}`, heads, rows, (i) => found.experts.includes(i));
    });
    const rule = `The logit is what the router gives an expert; score is its sigmoid. ${grouped ? `Of the ${config.n_group} groups the ${config.topk_group} with the two best sums stay. ` : ""}The ${config.num_experts_per_tok} experts with the largest score + bias are chosen; each weighs its score over the sum of theirs, without the bias.${model.sparseLayers[0] === 1 ? " Layer 1 is dense." : ""}`;
    return [make("p", { class: "live-twin" }, rule), ...tables];
  }

  attention(token) {
    const { config } = this.writing.model;
    this.layer.fill(Array.from({ length: config.num_hidden_layers }, (_, i) => [String(i + 1), i]));
    this.head.fill([["mean of all", -1], ...Array.from({ length: config.num_attention_heads }, (_, i) => [String(i + 1), i])]);
    this.look();
    return [make("h4", {}, "What it looked at"), make("p", { class: "live-row" }, this.layer.element, this.head.element), this.looked];
  }

  look() {
    const { writing: { model, tokens }, at } = this;
    const heads = tokens[at].attention[this.layer.value];
    const weights = this.head.value < 0
      ? heads[0].map((_, i) => heads.reduce((sum, head) => sum + head[i], 0) / heads.length)
      : heads[this.head.value];
    const strip = Array.from(weights, (weight, i) => make("span", { class: "live-looked", style: `--known:${weight.toFixed(3)}` }, visible(model, tokens[i].id)));
    const rows = best(weights, SHOWN).map((i) => [`${i + 1}: ${visible(model, tokens[i].id)}`, percent(weights[i])]);
    this.looked.replaceChildren(
      make("div", { class: "live-tokens", "aria-hidden": "true" }, ...strip),
      table("The tokens it looked at most", ["token", "share"], rows));
  }
}

/** A drop-down list with its label; `value` is the chosen one's value. */
function choice(label, options, onChange, chosen = 0) {
  const list = make("select", { onchange: onChange });
  const self = {
    element: make("label", {}, `${label} `, list),
    fill(pairs) {
      const before = list.selectedIndex;
      self.pairs = pairs;
      list.replaceChildren(...pairs.map(([text]) => make("option", {}, text)));
      list.selectedIndex = before >= 0 && before < pairs.length ? before : 0;
    },
    get value() { return self.pairs[list.selectedIndex][1]; },
    set disabled(on) { list.disabled = on; },
  };
  self.fill(options);
  list.selectedIndex = chosen;
  return self;
}

/** Sixteen answers to one puzzle, their rewards and advantages, and what a step does with them. */
class Group {
  constructor(app) {
    this.app = app;
    this.button = make("button", { type: "button", onclick: () => this.sample() }, "Sample sixteen answers");
    this.body = make("div", {});
    this.element = make("section", { class: "live-group", "aria-label": "GRPO's step by hand" },
      make("h3", {}, "GRPO’s step by hand"),
      make("p", {}, "R1-Zero was trained with nothing but this (GRPO, group relative policy optimisation): sample a group of answers to one puzzle, let the verifier reward each with 1 or 0, and make what the better ones wrote more likely. How much better an answer is than the group's mean is its advantage. The first model chosen above answers, at the temperature above."),
      make("p", { class: "live-row" }, this.button), this.body);
  }

  async sample() {
    const asked = await this.app.asked();
    if (!asked) return;
    const { puzzle, temperature, chosen: [{ label, model }] } = asked;
    this.app.busy(true);
    const session = model.session();
    let logits = null;
    for (const id of model.promptIds(puzzle)) logits = session.push(id).logits;
    const answers = [];
    while (answers.length < GROUP && !this.app.stopped) {
      answers.push(sampleIds(model, session, logits, { temperature, random: this.app.random }));
      this.app.say(`${answers.length} of ${GROUP} answers sampled.`);
      await new Promise((go) => setTimeout(go));
    }
    this.app.busy(false);
    if (answers.length === GROUP) this.show({ label, model, puzzle, temperature, logits, answers });
  }

  show({ label, model, puzzle, temperature, logits, answers }) {
    const texts = answers.map((ids) => model.decode(ids.filter((id) => id !== model.eos)));
    const rewards = texts.map((text) => reward(puzzle, text));
    const found = advantages(rewards);
    const right = rewards.filter(Boolean).length;
    const rows = answers.map((ids, i) => {
      const show = make("button", { type: "button", onclick: () => this.app.replay(label, model, puzzle, temperature, ids) }, `${i + 1}`);
      show.setAttribute("aria-label", `Show answer ${i + 1}`);
      return [show, (answerOf(texts[i]) ?? ["none"]).join(" "), String(ids.length), texts[i].includes(OPEN) ? "yes" : "no", String(rewards[i]), signed(found.plain[i], 2), signed(found.divided[i], 2)];
    });
    const words = right === 0 || right === GROUP
      ? `${right ? "All" : "None"} of ${GROUP} answers of ${label} are right. All rewards are equal, so every advantage is 0 and the step changes nothing: this puzzle is too ${right ? "easy" : "hard"} to teach anything now. ${right || temperature >= 1 ? "Sample again, or draw another puzzle." : "Sample again at temperature 1, or draw another puzzle."}`
      : `${right} of ${GROUP} answers of ${label} are right: the mean reward is ${found.mean.toFixed(3)}. A right answer gets the advantage ${signed(1 - found.mean, 2)}, a wrong one ${signed(-found.mean, 2)}. Divided by the standard deviation, ${found.std.toFixed(3)}, as in DeepSeekMath, that is ${signed((1 - found.mean) / (found.std + 1e-4), 2)} and ${signed(-found.mean / (found.std + 1e-4), 2)}.`;
    this.body.replaceChildren(make("p", {}, words),
      make("div", { class: "live-columns" },
        table(`Sixteen answers to ${puzzleText(puzzle)} (a number shows the answer above)`, ["answer", "signs", "tokens", "thought", "reward", "advantage", "divided by std"], rows, (i) => rewards[i] > 0),
        right === 0 || right === GROUP ? null : this.push(model, logits, temperature || 1, answers, found.plain)));
    this.app.say(`${right} of ${GROUP} answers of ${label} are right; rewards and advantages stand under “GRPO’s step by hand”.`);
  }

  push(model, logits, temperature, answers, given) {
    const firsts = answers.map((ids) => ids[0]);
    const shown = best(logits, SHOWN);
    for (const id of new Set(firsts)) if (!shown.includes(id)) shown.push(id);
    const size = 8;
    const lines = firstTokenPush(logits, temperature, firsts, given, shown, size);
    const rows = lines.map((l) => [visible(model, l.id), percent(l.before), String(l.count), signed(l.sum, 2), signed(l.push, 4), percent(l.after)]);
    const most = lines.reduce((a, b) => (b.push > a.push ? b : a));
    return make("div", {},
      table("The step at the first token, which all sixteen share", ["token", "probability", "answers that began so", "their advantages, summed", "push on its logit", `after a step of ${size} × push`], rows, (i) => lines[i] === most),
      make("p", { class: "live-twin" }, `A token’s logit is its score before softmax, which turns all scores into probabilities. Push = (sum of advantages of the answers that began so − probability × sum of all advantages) / ${GROUP}${temperature === 1 ? "" : ` / temperature ${temperature}`}; the sum of all is 0. Pushed up most: ${visible(model, most.id)}. The last column moves these logits alone; in training the same is done at every token of every answer, and the weights move for all of them at once.`));
  }
}

/** The whole explorer in `root`. `offers` is a list of {label, about, load}, `load()` a promise of a Model. */
class Explorer {
  constructor(root, offers, { first = 0, second = -1, puzzle = "7 ? 3 ? 5 ? 2 = 11" } = {}) {
    Object.assign(this, { root, offers, random: Math.random, stopped: false, fresh: true, running: false, ticks: 0 });
    this.puzzle = make("input", { type: "text", value: puzzle, spellcheck: "false", autocomplete: "off", size: 24, oninput: () => this.changed() });
    this.draw = make("button", { type: "button", onclick: () => { this.puzzle.value = puzzleText(drawPuzzle(this.random)); this.changed(); } }, "Draw a puzzle");
    const names = offers.map((offer, i) => [`${offer.label}: ${offer.about}`, i]);
    this.models = [choice("Model", names, () => this.changed(), first), choice("beside it", [["nothing", -1], ...names], () => this.changed(), second + 1)];
    this.heat = make("input", { type: "range", min: 0, max: 1.5, step: 0.1, value: 0.6, oninput: () => { this.shownHeat.textContent = this.heat.value; this.changed(); } });
    this.shownHeat = make("output", {}, "0.6");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.pace = choice("Pace", PACES, () => {}, still ? 3 : 1);
    this.runButton = make("button", { type: "submit", class: "live-main" }, "Answer");
    this.stepButton = make("button", { type: "button", onclick: () => this.advance() }, "One token");
    this.stopButton = make("button", { type: "button", disabled: true, onclick: () => { this.stopped = true; } }, "Stop");
    this.status = make("p", { class: "live-status", role: "status", "aria-live": "polite" });
    this.panes = [0, 1].map((i) => new Pane(i ? "second model" : "first model", (pane, at) => this.inspector.show(pane, at)));
    this.inspector = new Inspector();
    this.group = new Group(this);
    this.build();
  }

  build() {
    const form = make("form", { class: "live-form", onsubmit: (event) => { event.preventDefault(); this.run(); } },
      make("p", { class: "live-row" }, make("label", {}, "Puzzle ", this.puzzle), this.draw),
      make("p", { class: "live-row" }, this.models[0].element, this.models[1].element),
      make("p", { class: "live-row" }, make("label", {}, "Temperature ", this.heat, " ", this.shownHeat), this.pace.element),
      make("p", { class: "live-row" }, this.runButton, this.stepButton, this.stopButton));
    this.shown = make("div", { class: "live-panes" });
    this.root.classList.add("live");
    this.root.replaceChildren(form, this.status, this.shown, this.inspector.element, this.group.element);
    this.say("Put + or − in place of every ? so that the sum is right. Press Answer to watch a model try.");
  }

  say(words) {
    this.status.textContent = words;
  }

  /** Puzzle, models or temperature are others now: what stands is no longer their answer. */
  changed() {
    this.stopped = true;
    this.fresh = true;
    this.runButton.textContent = "Answer";
  }

  busy(on) {
    this.stopped = false;
    for (const button of [this.runButton, this.stepButton, this.draw, this.group.button]) button.disabled = on;
    this.stopButton.disabled = !on;
    if (on) this.stopButton.focus({ preventScroll: true });
    else if ([this.stopButton, document.body].includes(document.activeElement)) this.runButton.focus({ preventScroll: true });
  }

  /** Puzzle, temperature and the models chosen, loaded; null (and a sentence) where one is not there. */
  async asked() {
    try {
      const puzzle = parsePuzzle(this.puzzle.value);
      const picked = [this.models[0].value, this.models[1].value].filter((i) => i >= 0);
      this.say("Loading the model.");
      const chosen = await Promise.all(picked.map(async (i) => ({ label: this.offers[i].label, model: await this.offers[i].load() })));
      this.say("");
      return { puzzle, temperature: Number(this.heat.value), chosen };
    } catch (error) {
      this.say(error.message);
      return null;
    }
  }

  async start() {
    const asked = await this.asked();
    if (!asked) return false;
    const { puzzle, temperature, chosen } = asked;
    this.open = chosen.map(({ label, model }, i) => {
      this.panes[i].start(label, new Writing(model, puzzle, { temperature, random: this.random }));
      return this.panes[i];
    });
    this.inspector.clear();
    this.shown.replaceChildren(...this.open.map((pane) => pane.element));
    this.note = solutions(puzzle).length ? "" : ` No choice of signs reaches ${puzzle.target}, so no answer can be right.`;
    if (puzzle.numbers.length !== 4) this.note += " In training every puzzle had four digits.";
    this.fresh = false;
    return true;
  }

  /** One token of every answer that goes on; false where all have ended. */
  async advance() {
    if (this.fresh || this.open.every((pane) => pane.writing.done)) {
      if (!(await this.start())) return false;
    }
    const moved = this.open.map((pane) => pane.step()).some(Boolean);
    const last = this.open.map((pane) => `${pane.label}: ${visible(pane.writing.model, pane.writing.tokens.at(-1).id)}`);
    if (this.open.every((pane) => pane.writing.done)) this.ended();
    else if (!this.running) this.say(last.join("; "));
    return moved;
  }

  ended() {
    this.say(this.open.map((pane) => {
      const { length } = pane.writing.ids;
      return `${pane.label}, ${length} token${length === 1 ? "" : "s"}. ${pane.verdict()}`;
    }).join(" ") + this.note);
    this.runButton.textContent = "Answer";
  }

  /** Write to the end at the pace chosen, or go on where it was stopped. */
  async run() {
    const going = !this.fresh && this.open.some((pane) => !pane.writing.done);
    if (!going && !(await this.start())) return;
    this.running = true;
    this.busy(true);
    this.say("Writing.");
    let next = performance.now();
    while (!this.stopped && this.open.some((pane) => !pane.writing.done)) {
      await this.advance();
      next = Math.max(next + 1000 / this.pace.value, performance.now());
      const wait = Math.max(0, next - performance.now());
      if (wait || this.ticks++ % 8 === 0) await new Promise((go) => setTimeout(go, wait));
    }
    this.running = false;
    this.busy(false);
    if (this.open.every((pane) => pane.writing.done)) return;
    this.runButton.textContent = this.fresh ? "Answer" : "Go on";
    this.say("Stopped.");
  }

  /** An answer of the group in the first pane, token by token as it was written. */
  replay(label, model, puzzle, temperature, ids) {
    const [pane] = this.panes;
    this.open = [pane];
    pane.start(label, new Writing(model, puzzle, { temperature }));
    for (const id of ids) pane.step(id);
    this.inspector.clear();
    this.shown.replaceChildren(pane.element);
    this.fresh = true;
    this.note = "";
    this.say(`${label}: ${pane.verdict()}`);
    pane.element.scrollIntoView({ block: "nearest" });
    pane.buttons[pane.writing.prompt]?.focus();
  }
}
