// The page's texts from a model that is in the page itself: in place of a server.

import { Network, Random, draw, largest, logOfAll, readModel } from "./engine.js";
import { Tokenizer } from "./tokenizer.js";

const AT_A_TIME = 12; // milliseconds between two looks at the page
const RECENT = 64; // tokens that the repetition penalty looks back

export class KeyNeeded extends Error {} // never: there is no server

function bytesOf(id) {
  const text = document.getElementById(id).textContent.trim();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

let loading = null;

function loaded() {
  loading ||= (async () => {
    if (typeof WebAssembly !== "object") throw new Error("This browser has no WebAssembly.");
    const model = readModel(bytesOf("textgru-model"));
    const network = await Network.load(bytesOf("textgru-kernels"), model);
    return { header: model.header, network, tokenizer: new Tokenizer(model.header.tokenizer) };
  })();
  return loading;
}

// Lets the page breathe.
const pause = () => new Promise((resolve) => setTimeout(resolve));

export const backend = {
  key: "",

  async info() {
    const { header, network } = await loaded();
    return {
      models: [{ id: header.name, description: "", tokenizer: header.tokenizer.kind, vocab_size: network.V, unit: header.unit }],
      title: header.title,
      about: header.about,
    };
  },

  async *generate(wanted, signal) {
    const { tokenizer, network, header } = await loaded();
    const first = firstTokens(wanted.prompt, tokenizer, header);
    const rows = [];
    const state = network.zeroState();
    let until = performance.now() + AT_A_TIME;
    for (const token of first.slice(0, -1)) {
      network.step(token, state);
      if (performance.now() < until) continue;
      await pause();
      check(signal);
      until = performance.now() + AT_A_TIME;
    }
    const seed = wanted.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    for (let index = 0; index < (wanted.n || 1); index++) {
      rows.push({
        index,
        state: state.map((arrays) => arrays.map((array) => array.slice())),
        token: first.at(-1),
        recent: wanted.prompt ? first.slice(-RECENT) : first.slice(-1),
        random: new Random(seed + index * 0x9e3779b1),
        decode: primed(tokenizer, wanted.prompt ? first : []),
        held: "",
        left: wanted.max_tokens ?? 500,
        piece: { index, text: "", tokens: [], finish_reason: null },
      });
    }
    while (rows.length) {
      until = performance.now() + AT_A_TIME;
      while (performance.now() < until && rows.some((row) => !row.piece.finish_reason))
        for (const row of rows) if (!row.piece.finish_reason) advance(row, wanted, network, tokenizer);
      for (const row of rows) {
        yield row.piece;
        const ended = row.piece.finish_reason;
        row.piece = { index: row.index, text: "", tokens: [], finish_reason: ended };
      }
      for (let i = rows.length; i-- > 0; ) if (rows[i].piece.finish_reason) rows.splice(i, 1);
      await pause();
      check(signal);
    }
  },

  async score({ text, alternatives }) {
    const { tokenizer, network } = await loaded();
    const state = network.zeroState();
    const feed = tokenizer.decoder();
    const tokens = [];
    let bits = 0;
    let scores = null;
    let until = performance.now() + AT_A_TIME;
    for (const token of tokenizer.encode(normalised(text))) {
      const one = { text: feed(token), bits: null, alternatives: [] };
      if (scores) {
        Object.assign(one, surprise(scores, token, alternatives, tokenizer));
        bits += one.bits;
      }
      tokens.push(one);
      scores = network.step(token, state);
      if (performance.now() < until) continue;
      scores = scores.slice();
      await pause();
      until = performance.now() + AT_A_TIME;
    }
    return { tokens, bits };
  },
};

function check(signal) {
  if (signal && signal.aborted) throw new DOMException("stopped", "AbortError");
}

// Line ends as those of the text it was trained on, no byte order marks.
function normalised(text) {
  return text.replace(/\r\n?/g, "\n").replace(/\ufeff/g, "");
}

// As textgru.generation.starts: without a prompt after the end of a document, or at the beginning of a line.
function firstTokens(prompt, tokenizer, header) {
  const text = normalised(prompt || "");
  if (!text && header.reads_documents && tokenizer.eos_id !== null) return [tokenizer.eos_id];
  const tokens = tokenizer.encode(text || "\n");
  return tokens.length ? tokens : [0];
}

function primed(tokenizer, tokens) {
  const feed = tokenizer.decoder();
  for (const token of tokens.slice(-RECENT)) feed(token);
  return feed;
}

function surprise(scores, token, alternatives, tokenizer) {
  const all = logOfAll(scores);
  const bits = (i) => (all - scores[i]) / Math.LN2;
  return {
    bits: bits(token),
    alternatives: alternatives ? largest(scores, alternatives).map((i) => ({ text: tokenizer.decode([i]), bits: bits(i) })) : [],
  };
}

// Draws a token for a row and adds it to its piece.
function advance(row, wanted, network, tokenizer) {
  const { piece } = row;
  if (row.left <= 0) return void finish(row, "length");
  const scores = network.step(row.token, row.state);
  const own = scores.slice();
  const token = draw(scores, wanted, row.recent, row.random, tokenizer.unk_id);
  row.token = token;
  row.left--;
  row.recent.push(token);
  if (row.recent.length > RECENT) row.recent.shift();
  if (token === tokenizer.eos_id) return void finish(row, "eos");
  const text = row.decode(token);
  piece.tokens.push({ text, ...surprise(own, token, wanted.alternatives, tokenizer) });
  row.held += text;
  const stops = wanted.stop || [];
  const found = stops.map((stop) => row.held.indexOf(stop)).filter((place) => place >= 0);
  if (found.length) {
    row.held = row.held.slice(0, Math.min(...found));
    return void finish(row, "stop");
  }
  const kept = mayBegin(row.held, stops);
  piece.text += row.held.slice(0, row.held.length - kept);
  row.held = row.held.slice(row.held.length - kept);
  if (row.left === 0) finish(row, "length");
}

function finish(row, reason) {
  row.piece.text += row.held;
  row.held = "";
  row.piece.finish_reason = reason;
}

// How many characters at the end may be the beginning of a stop string.
function mayBegin(text, stops) {
  let most = 0;
  for (const stop of stops)
    for (let size = Math.min(stop.length - 1, text.length); size > most; size--) if (text.endsWith(stop.slice(0, size))) most = size;
  return most;
}
