// A language model in the browser: scores of the next token, one token at a time. Weights are 8-bit integers.

// A model's bytes: the length of the header (4, little endian), the header (JSON), then the arrays, each at a multiple of 16.
export function readModel(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const first = (4 + length + 15) & ~15;
  return { header, array: (name) => bytes.subarray(first + header.arrays[name][0], first + header.arrays[name][0] + header.arrays[name][1]) };
}

export class Network {
  static async load(wasm, model) {
    const { instance } = await WebAssembly.instantiate(wasm, {});
    return new Network(instance.exports, model);
  }

  constructor(kernels, { header, array }) {
    this.kernels = kernels;
    Object.assign(this, header.network); // cell, V, E, H, L, gates, exact_table
    this.matrices = {};
    const widths = { embedding: this.E, output: this.H };
    for (let layer = 0; layer < this.L; layer++) {
      widths[`ih${layer}`] = layer ? this.H : this.E;
      widths[`hh${layer}`] = this.H;
    }
    for (const [name, n] of Object.entries(widths)) {
      const stored = header.same[name] || name; // tied weights are stored once
      this.matrices[name] = this.matrices[stored] || this.keepMatrix(array(`${stored}.integers`), array(`${stored}.scales`), n);
      if (name !== "embedding") this.matrices[name] = { ...this.matrices[name], bias: this.keep(array(`${name}.bias`)) };
    }
    const gates = this.gates * this.H;
    this.x = this.room(this.E);
    this.gi = this.room(gates);
    this.gh = this.room(gates);
    this.scores = this.room(this.V);
    this.q = kernels.allocate(2 * (Math.max(this.E, this.H) + 16));
    this.states = { gru: 1, rnn: 1, lstm: 2 }[this.cell];
    this.state = Array.from({ length: this.L }, () => Array.from({ length: this.states }, () => this.room(this.H)));
    this.table = new Map(); // token -> the first layer's input products, where they are not rounded
  }

  room(n) {
    return this.kernels.allocate(4 * n);
  }

  keep(bytes) {
    const place = this.kernels.allocate(bytes.length);
    new Uint8Array(this.kernels.memory.buffer).set(bytes, place);
    return place;
  }

  // Rows of integers, padded to a multiple of 16.
  keepMatrix(integers, scales, n) {
    const padded = (n + 15) & ~15;
    const rows = integers.length / n;
    const place = this.kernels.allocate(rows * padded);
    const memory = new Int8Array(this.kernels.memory.buffer);
    const from = new Int8Array(integers.buffer, integers.byteOffset, integers.length);
    if (padded === n) memory.set(from, place);
    else for (let row = 0; row < rows; row++) memory.set(from.subarray(row * n, (row + 1) * n), place + row * padded);
    return { place, rows, n, padded, scale: this.keep(scales) };
  }

  floats(place, n) {
    return new Float32Array(this.kernels.memory.buffer, place, n);
  }

  zeroState() {
    return this.state.map((arrays) => arrays.map(() => new Float32Array(this.H)));
  }

  // Reads a token: `state`, arrays of one text, is replaced; the scores (V,) of the next one are a view until the next call.
  step(token, state) {
    const { kernels, H } = this;
    const product = ({ rows, n, place, scale }, step, y, bias) => kernels.product(rows, n, place, scale, bias, this.q, step, y);
    let below = 0;
    for (let layer = 0; layer < this.L; layer++) {
      const places = this.state[layer];
      state[layer].forEach((array, i) => this.floats(places[i], H).set(array));
      if (layer === 0) this.inputProducts(token, product);
      else product(this.matrices[`ih${layer}`], kernels.quantize(H, below, this.q), this.gi, this.matrices[`ih${layer}`].bias);
      const recurrent = this.matrices[`hh${layer}`];
      product(recurrent, kernels.quantize(H, places[0], this.q), this.gh, 0);
      kernels[this.cell](H, this.gi, this.gh, recurrent.bias, ...places);
      state[layer].forEach((array, i) => array.set(this.floats(places[i], H)));
      below = places[0];
    }
    product(this.matrices.output, kernels.quantize(H, below, this.q), this.scores, this.matrices.output.bias);
    return this.floats(this.scores, this.V);
  }

  inputProducts(token, product) {
    const { kernels, E } = this;
    const gates = this.gates * this.H;
    const known = this.table.get(token);
    if (known) return void this.floats(this.gi, gates).set(known);
    const { place, padded, scale } = this.matrices.embedding;
    kernels.look_up(E, place + token * padded, this.floats(scale, this.V)[token], this.x);
    const matrix = this.matrices.ih0;
    if (!this.exact_table) return void product(matrix, kernels.quantize(E, this.x, this.q), this.gi, matrix.bias);
    kernels.exact_product(matrix.rows, E, matrix.place, matrix.scale, matrix.bias, this.x, this.gi);
    this.table.set(token, this.floats(this.gi, gates).slice());
  }
}

// Random numbers from 0 up to 1 from a seed: xoshiro128** (Blackman and Vigna 2021), seeded by splitmix32.
export class Random {
  constructor(seed) {
    this.s = new Uint32Array(4);
    let z = (seed ^ Math.floor(seed / 4294967296)) >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let t = z ^ (z >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      this.s[i] = t ^ (t >>> 15);
    }
  }

  next() {
    const s = this.s;
    const rotated = Math.imul(s[1], 5) >>> 0;
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result / 4294967296;
  }
}

// Draws a token from scores (V,), in textgru's order: penalty, top-k, top-p, min-p, temperature.
export function draw(scores, controls, recent, random, never) {
  const { temperature = 0.8, top_k = 0, top_p = 1, min_p = 0, repetition_penalty = 1 } = controls;
  if (repetition_penalty !== 1)
    for (const token of new Set(recent)) scores[token] = scores[token] > 0 ? scores[token] / repetition_penalty : scores[token] * repetition_penalty;
  if (never !== null) scores[never] = -Infinity;
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  if (temperature < 1e-6) return best;
  let kept = null; // all
  if (top_k || top_p < 1) {
    kept = Uint32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
    if (top_k) kept = kept.subarray(0, top_k);
    if (top_p < 1) {
      const parts = Array.from(kept, (i) => Math.exp(scores[i] - scores[best]));
      const whole = parts.reduce((sum, part) => sum + part, 0);
      let sum = 0;
      let count = 0;
      while (count < parts.length && sum < top_p * whole) sum += parts[count++];
      kept = kept.subarray(0, Math.max(1, count));
    }
  }
  if (min_p > 0) {
    const least = scores[best] + Math.log(min_p);
    kept = Uint32Array.from(kept || scores.keys()).filter((i) => scores[i] >= least);
  }
  const count = kept ? kept.length : scores.length;
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let k = 0; k < count; k++) cumulative[k] = sum += Math.exp((scores[kept ? kept[k] : k] - scores[best]) / temperature);
  const u = random.next() * sum;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle] > u) high = middle;
    else low = middle + 1;
  }
  return kept ? kept[low] : low;
}

// The natural logarithm that is taken from a score for the logarithm of its probability.
export function logOfAll(scores) {
  let most = -Infinity;
  for (const score of scores) if (score > most) most = score;
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - most);
  return most + Math.log(sum);
}

// The k tokens of the largest scores, the largest first.
export function largest(scores, k) {
  const found = [];
  for (let i = 0; i < scores.length; i++) {
    if (found.length === k && scores[i] <= scores[found[k - 1]]) continue;
    let at = found.length;
    while (at > 0 && scores[found[at - 1]] < scores[i]) at--;
    found.splice(at, 0, i);
    if (found.length > k) found.pop();
  }
  return found;
}
