// Where the page's texts come from: here, a server's completions.

const KEY = "textgru-key";
const LN2 = Math.log(2);

export class KeyNeeded extends Error {}

export const backend = {
  get key() {
    return sessionStorage.getItem(KEY) || "";
  },
  set key(value) {
    sessionStorage.setItem(KEY, value);
  },

  // {models: [{id, description, tokenizer, vocab_size, unit}]}
  async info() {
    const found = await (await call("v1/models")).json();
    return { models: found.data.map(describeModel) };
  },

  // Yields {index, text, tokens: [{text, bits, alternatives: [{text, bits}]}], finish_reason} until all samples have ended.
  async *generate(wanted, signal) {
    const { alternatives, ...body } = wanted;
    const answer = await call("v1/completions", { ...body, logprobs: alternatives, stream: true }, signal);
    for await (const data of eventsOf(answer.body)) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      for (const choice of event.choices) {
        const found = choice.logprobs || { tokens: [], token_logprobs: [], top_logprobs: [] };
        const tokens = found.tokens.map((text, i) => ({
          text,
          bits: -found.token_logprobs[i] / LN2,
          alternatives: likeliestFirst((found.top_logprobs || [])[i] || {}),
        }));
        yield { index: choice.index, text: choice.text, tokens, finish_reason: choice.finish_reason };
      }
    }
    throw new Error("The server ended the text before its end.");
  },

  // {tokens: [{text, bits, alternatives}], bits}
  async score({ model, text, alternatives }) {
    return (await call("score", { model, input: text, alternatives })).json();
  },
};

function describeModel({ id, textgru }) {
  const size = `${textgru.cell}, ${textgru.num_layers} x ${textgru.hidden_size} units`;
  const good = textgru.bits_per_char ? `, ${textgru.bits_per_char.toFixed(2)} bits a character` : "";
  return { id, description: size + good, tokenizer: textgru.tokenizer, vocab_size: textgru.vocab_size, unit: textgru.unit };
}

// Sorted here: an object keeps keys that are whole numbers before all others.
function likeliestFirst(logs) {
  const all = Object.entries(logs).map(([text, log]) => ({ text, bits: -log / LN2 }));
  return all.sort((one, other) => one.bits - other.bits);
}

async function call(path, body, signal) {
  const headers = backend.key ? { Authorization: `Bearer ${backend.key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server can't be reached.");
  }
  if (answer.ok) return answer;
  let said = `The server answered ${answer.status}.`;
  try {
    said = (await answer.json()).error.message;
  } catch {}
  throw answer.status === 401 ? new KeyNeeded(said) : new Error(said);
}

// The data of each server-sent event.
async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
