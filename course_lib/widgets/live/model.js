// A model of the course in plain arrays: DeepSeek-V3's architecture (latent attention, a mixture of
// experts) and the dense Qwen2 and Llama. One token goes through at a time; keys and values of those
// before are kept. Numbers are float32 where they are stored and float64 where they are added up.

/** Half-precision numbers (little-endian) as a Float32Array. */
function fromHalf(bytes) {
  const halves = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const table = new Float32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24
      : exponent === 31 ? (fraction ? NaN : Infinity)
      : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[half] = half & 0x8000 ? -size : size;
  }
  const out = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < out.length; i++) out[i] = table[halves.getUint16(2 * i, true)];
  return out;
}

/** out = w x, for a matrix `w` = {data, rows, cols} with its rows one after the other. */
function multiply(w, x, out = new Float32Array(w.rows), bias = null) {
  const { data, rows, cols } = w;
  const whole = cols - (cols % 4);
  for (let row = 0; row < rows; row++) {
    const from = row * cols;
    let a = 0, b = 0, c = 0, d = 0, i = 0;
    for (; i < whole; i += 4) {
      a += data[from + i] * x[i];
      b += data[from + i + 1] * x[i + 1];
      c += data[from + i + 2] * x[i + 2];
      d += data[from + i + 3] * x[i + 3];
    }
    for (; i < cols; i++) a += data[from + i] * x[i];
    out[row] = a + b + (c + d) + (bias ? bias.data[row] : 0);
  }
  return out;
}

/** RMSNorm: x over its root mean square, times a weight for each dimension. */
function rmsNorm(x, weight, epsilon) {
  let squares = 0;
  for (const value of x) squares += value * value;
  const scale = 1 / Math.sqrt(squares / x.length + epsilon);
  return x.map((value, i) => value * scale * weight.data[i]);
}

/** Probabilities of logits, at a temperature above 0. */
function softmax(logits, temperature = 1) {
  let highest = -Infinity, sum = 0;
  for (const logit of logits) if (logit > highest) highest = logit;
  const out = new Float64Array(logits.length);
  for (let i = 0; i < out.length; i++) sum += out[i] = Math.exp((logits[i] - highest) / temperature);
  for (let i = 0; i < out.length; i++) out[i] /= sum;
  return out;
}

function largest(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}

/** Where the `count` largest values are, largest first, ties to the lower place. */
function best(values, count) {
  return Array.from(values.keys()).sort((i, j) => values[j] - values[i] || i - j).slice(0, count);
}

/** DeepSeek-V3's choice of experts, with every number that leads to it. */
function route(logits, bias, config) {
  const scores = Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
  const biased = scores.map((score, i) => score + bias[i]);
  const groups = config.n_group, size = scores.length / groups;
  let stays = Array(groups).fill(true);
  if (groups > 1) {
    const worth = stays.map((_, group) => {
      const [first, second] = best(Float64Array.from(biased.slice(group * size, (group + 1) * size)), 2);
      return biased[group * size + first] + biased[group * size + second];
    });
    const kept = new Set(best(Float64Array.from(worth), config.topk_group));
    stays = stays.map((_, group) => kept.has(group));
  }
  const open = Float64Array.from(biased, (value, i) => (stays[Math.floor(i / size)] ? value : -Infinity));
  const experts = best(open, config.num_experts_per_tok);
  const sum = experts.reduce((total, expert) => total + scores[expert], 0);
  const divisor = config.norm_topk_prob ? sum + 1e-20 : 1;
  const weights = experts.map((expert) => config.routed_scaling_factor * scores[expert] / divisor);
  const group = (expert) => Math.floor(expert / size);
  return { logits: Array.from(logits), scores, bias: Array.from(bias), biased, stays, group, experts, weights, sum };
}

/** A model and its tokenizer, made from what `export.py` packs: a header and half-precision bytes. */
class Model {
  /** Throws an Error with one sentence where the bytes are not those that the header tells of. */
  constructor(header, bytes) {
    this.name = header.name;
    if (bytes.byteLength !== header.bytes || crc32(bytes) !== header.crc32) {
      throw new Error(`The file of the model ${this.name} is damaged or cut short; build or copy it again.`);
    }
    this.config = header.config;
    this.parameters = header.parameters;
    this.eos = header.eos;
    this.template = header.template;
    const values = fromHalf(bytes);
    this.tensors = {};
    for (const [name, [start, rows, cols]] of Object.entries(header.tensors)) {
      this.tensors[name] = { data: values.subarray(start, start + rows * cols), rows, cols };
    }
    this.texts = header.tokens.map((token) => (typeof token === "string" ? token : null));
    this.raw = header.tokens.map((token) => (typeof token === "string" ? null : Uint8Array.from(token)));
    this.pieces = new Map(this.texts.flatMap((text, id) => (text === null ? [] : [[text, id]])));
    this.singles = new Map(this.raw.flatMap((raw, id) => (raw?.length === 1 ? [[raw[0], id]] : [])));
    this.longest = Math.max(...Array.from(this.pieces.keys(), (text) => text.length));
  }

  tensor(name) {
    return this.tensors[name] ?? null;
  }

  /** Which layers are mixtures of experts. */
  get sparseLayers() {
    return Array.from({ length: this.config.num_hidden_layers }, (_, i) => i)
      .filter((i) => this.tensor(`layers.${i}.mlp.gate.weight`));
  }

  /** Text as token ids: the longest piece that fits, else bytes. */
  encode(text) {
    const ids = [];
    for (let at = 0; at < text.length;) {
      let size = Math.min(this.longest, text.length - at);
      while (size && !this.pieces.has(text.slice(at, at + size))) size--;
      if (size) {
        ids.push(this.pieces.get(text.slice(at, at + size)));
        at += size;
        continue;
      }
      const letter = String.fromCodePoint(text.codePointAt(at));
      for (const byte of new TextEncoder().encode(letter)) ids.push(this.singles.get(byte));
      at += letter.length;
    }
    return ids;
  }

  /** What the model is given: the puzzle in the layout of a conversation. */
  promptIds(puzzle) {
    const [before, after] = this.template;
    return this.encode(before + puzzleText(puzzle) + after);
  }

  /** Token ids as text. */
  decode(ids) {
    let text = "", bytes = [];
    const flush = () => {
      if (bytes.length) text += new TextDecoder().decode(Uint8Array.from(bytes));
      bytes = [];
    };
    for (const id of ids) {
      if (this.texts[id] === null) bytes.push(...this.raw[id]);
      else { flush(); text += this.texts[id]; }
    }
    flush();
    return text;
  }

  session() {
    return new Session(this);
  }

  /** The logits after each of `ids`, one Float32Array a token. */
  logits(ids) {
    const session = this.session();
    return ids.map((id) => session.push(id).logits);
  }
}

/** One text on its way through a model: what it has read so far, and keys and values of that. */
class Session {
  constructor(model) {
    this.model = model;
    this.length = 0;
    this.keys = Array.from({ length: model.config.num_hidden_layers }, () => []);
    this.values = this.keys.map(() => []);
  }

  /** A session that goes on from here by itself; keys and values are shared, never changed. */
  fork() {
    const copy = new Session(this.model);
    copy.length = this.length;
    copy.keys = this.keys.map((keys) => keys.slice());
    copy.values = this.values.map((values) => values.slice());
    return copy;
  }

  /**
   * Read one more token. Returns {logits, attention, routes}: the logits of what comes next; for each
   * layer and head the weights over all tokens so far; for each layer a route, null where it is dense.
   */
  push(id) {
    const { model, model: { config } } = this;
    if (this.length >= config.max_position_embeddings) throw new Error("The text is longer than the model can read.");
    const table = model.tensor("embed_tokens.weight");
    let x = table.data.slice(id * table.cols, (id + 1) * table.cols);
    const attention = [], routes = [];
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      const own = (name) => model.tensor(`layers.${layer}.${name}`);
      const looked = this.attend(layer, rmsNorm(x, own("input_layernorm.weight"), config.rms_norm_eps), own);
      x = x.map((value, i) => value + looked.out[i]);
      const fed = feedForward(rmsNorm(x, own("post_attention_layernorm.weight"), config.rms_norm_eps), own, config);
      x = x.map((value, i) => value + fed.out[i]);
      attention.push(looked.weights);
      routes.push(fed.route);
    }
    this.length += 1;
    const last = rmsNorm(x, model.tensor("norm.weight"), config.rms_norm_eps);
    return { logits: multiply(model.tensor("lm_head.weight") ?? table, last), attention, routes };
  }

  attend(layer, x, own) {
    const { config } = this.model;
    const latent = config.model_type === "deepseek_v3";
    const { queries, keys, values } = (latent ? latentHeads : groupedHeads)(x, own, config, this.length);
    this.keys[layer].push(keys);
    this.values[layer].push(values);
    const heads = config.num_attention_heads;
    const mixed = new Float32Array(heads * values[0].length);
    const weights = queries.map((query, head) => {
      const shared = Math.floor(head * keys.length / heads);
      const scores = this.keys[layer].map((kept) => dot(query, kept[shared]) / Math.sqrt(query.length));
      const looks = softmax(scores);
      const at = head * values[0].length;
      looks.forEach((weight, position) => {
        const value = this.values[layer][position][shared];
        for (let i = 0; i < value.length; i++) mixed[at + i] += weight * value[i];
      });
      return looks;
    });
    return { out: multiply(own("self_attn.o_proj.weight"), mixed), weights };
  }
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Turn pairs of numbers by the token's position; `pair(i)` says which two belong together. */
function rotate(x, position, theta, pair) {
  const out = new Float32Array(x.length), half = x.length / 2;
  for (let i = 0; i < half; i++) {
    const angle = position * theta ** (-2 * i / x.length);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const [a, b] = pair(x, i, half);
    out[i] = a * cos - b * sin;
    out[i + half] = b * cos + a * sin;
  }
  return out;
}

const neighbours = (x, i) => [x[2 * i], x[2 * i + 1]];
const halves = (x, i, half) => [x[i], x[i + half]];

function joined(a, b) {
  const out = new Float32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** Multi-head latent attention: keys and values of all heads unfold from one narrow vector. */
function latentHeads(x, own, config, position) {
  const { num_attention_heads: heads, qk_nope_head_dim: plain, qk_rope_head_dim: rotary, v_head_dim: wide } = config;
  const pair = config.rope_interleave ? neighbours : halves;
  const turned = (part) => rotate(part, position, config.rope_theta, pair);
  const narrow = own("self_attn.q_a_proj.weight");
  const all = narrow
    ? multiply(own("self_attn.q_b_proj.weight"), rmsNorm(multiply(narrow, x), own("self_attn.q_a_layernorm.weight"), 1e-6))
    : multiply(own("self_attn.q_proj.weight"), x);
  const down = multiply(own("self_attn.kv_a_proj_with_mqa.weight"), x);
  const latent = rmsNorm(down.subarray(0, config.kv_lora_rank), own("self_attn.kv_a_layernorm.weight"), 1e-6);
  const place = turned(down.subarray(config.kv_lora_rank));
  const up = multiply(own("self_attn.kv_b_proj.weight"), latent);
  const queries = [], keys = [], values = [];
  for (let head = 0; head < heads; head++) {
    const query = all.subarray(head * (plain + rotary), (head + 1) * (plain + rotary));
    const unfolded = up.subarray(head * (plain + wide), (head + 1) * (plain + wide));
    queries.push(joined(query.subarray(0, plain), turned(query.subarray(plain))));
    keys.push(joined(unfolded.subarray(0, plain), place));
    values.push(unfolded.subarray(plain));
  }
  return { queries, keys, values };
}

/** Grouped-query attention, as Qwen2 and Llama have it: several heads share a key and a value. */
function groupedHeads(x, own, config, position) {
  const { num_attention_heads: heads, num_key_value_heads: shared, head_dim: size } = config;
  const project = (name, count) => {
    const out = multiply(own(`self_attn.${name}.weight`), x, undefined, own(`self_attn.${name}.bias`));
    return Array.from({ length: count }, (_, head) => out.subarray(head * size, (head + 1) * size));
  };
  const turned = (part) => rotate(part, position, config.rope_theta, halves);
  return {
    queries: project("q_proj", heads).map(turned),
    keys: project("k_proj", shared).map(turned),
    values: project("v_proj", shared),
  };
}

/** SwiGLU: down(silu(gate x) * up x). */
function swiGlu(x, own, part) {
  const gate = multiply(own(`${part}gate_proj.weight`), x);
  const up = multiply(own(`${part}up_proj.weight`), x);
  return multiply(own(`${part}down_proj.weight`), gate.map((g, i) => g / (1 + Math.exp(-g)) * up[i]));
}

/** A dense layer's feed-forward part, or a mixture of experts with its route. */
function feedForward(x, own, config) {
  const gate = own("mlp.gate.weight");
  if (!gate) return { out: swiGlu(x, own, "mlp."), route: null };
  const chosen = route(multiply(gate, x), own("mlp.gate.e_score_correction_bias").data, config);
  const out = config.n_shared_experts ? swiGlu(x, own, "mlp.shared_experts.") : new Float32Array(x.length);
  chosen.experts.forEach((expert, i) => {
    swiGlu(x, own, `mlp.experts.${expert}.`).forEach((value, j) => { out[j] += chosen.weights[i] * value; });
  });
  return { out, route: chosen };
}

/** The next token: the likeliest at temperature 0, else drawn. */
function pick(logits, temperature, random) {
  if (temperature === 0) return largest(logits);
  const chances = softmax(logits, temperature);
  let left = random();
  for (let id = 0; id < chances.length; id++) if ((left -= chances[id]) < 0) return id;
  return largest(chances);
}

const MOST_TOKENS = 96; // as in training (`ZeroConfig.max_new_tokens`)

/** An answer that grows by one token a call of `step`, with everything the page shows of it. */
class Writing {
  constructor(model, puzzle, { temperature = 0, random = Math.random, most = MOST_TOKENS } = {}) {
    Object.assign(this, { model, puzzle, temperature, random });
    this.session = model.session();
    this.tokens = model.promptIds(puzzle).map((id) => ({ id, prompt: true, ...this.session.push(id) }));
    this.prompt = this.tokens.length;
    this.most = Math.min(most, model.config.max_position_embeddings - this.prompt);
    this.done = false;
  }

  /** The logits of what comes next. */
  get logits() {
    return this.tokens.at(-1).logits;
  }

  /** Write one more token, drawn or given; returns it, or null at the end. */
  step(given = null) {
    if (this.done) return null;
    const id = given ?? pick(this.logits, this.temperature, this.random);
    const chances = softmax(this.logits, this.temperature || 1);
    const token = { id, prompt: false, chances };
    // The last token is never read by the model: nothing comes after it.
    this.done = id === this.model.eos || this.tokens.length + 1 - this.prompt >= this.most;
    if (!this.done) Object.assign(token, this.session.push(id));
    this.tokens.push(token);
    return token;
  }

  get ids() {
    return this.tokens.slice(this.prompt).map((token) => token.id);
  }

  /** The completion as text, without the token that ends it. */
  get text() {
    return this.model.decode(this.ids.filter((id) => id !== this.model.eos));
  }
}

/** The ids of one more answer after the tokens that `session` has read, nothing else kept. */
function sampleIds(model, session, logits, { temperature, random, most = MOST_TOKENS }) {
  const own = session.fork(), ids = [];
  while (ids.length < most) {
    ids.push(pick(logits, temperature, random));
    if (ids.at(-1) === model.eos || ids.length === most) break;
    logits = own.push(ids.at(-1)).logits;
  }
  return ids;
}
