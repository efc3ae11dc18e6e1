// Text to token ids and back: characters, bytes, and byte-level BPE as Hugging Face tokenizers has it.

const SPACE = "[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]"; // Unicode's White_Space
const NO_SPACE = SPACE.replace("[", "[^");
// GPT-2's words (Radford et al. 2019): endings, letters, digits, others, white space.
const WORDS = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?(?:(?![\\p{L}\\p{N}])${NO_SPACE})+|${SPACE}+(?!${NO_SPACE})|${SPACE}+`,
  "gu",
);
const LONGEST_WORD = 4096; // characters

// The printable character by which byte-level BPE writes each byte.
function byteCharacters() {
  const printable = (byte) => (byte >= 0x21 && byte < 0x7f) || (byte >= 0xa1 && byte < 0xad) || byte >= 0xae;
  let other = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : other++));
}

const DECODERS = {
  char: (tokenizer) => (id) => tokenizer.tokens[id],
  bytes: (tokenizer) => {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => utf8.decode(tokenizer.bytes[id], { stream: true });
  },
};

export class Tokenizer {
  // {kind: "char" | "byte" | "bpe", tokens, merges, eos_id, unk_id, split, whole_words}; `tokens`: the text of each id ("" of
  // none); `split`: whether words are encoded one by one; `whole_words`: whether one that is a token is no matter of merges.
  constructor(settings) {
    Object.assign(this, settings);
    if (this.kind === "char") {
      this.ids = new Map(this.tokens.map((text, id) => [text, id]));
      return;
    }
    const characters = byteCharacters();
    const byteOf = new Map(characters.map((character, byte) => [character, byte]));
    this.ids = new Map(this.tokens.map((text, id) => [text, id]));
    this.characters = characters;
    this.bytes = this.tokens.map((text, id) => Uint8Array.from(id === this.eos_id ? [] : [...text].map((c) => byteOf.get(c))));
    this.ranks = new Map((this.merges || []).map((pair, rank) => [pair.join(" "), rank]));
    this.words = new Map();
  }

  encode(text) {
    if (this.kind === "char") return Array.from(text.toWellFormed ? text.toWellFormed() : text, (c) => (c && this.ids.get(c)) ?? this.unk_id ?? 0);
    const utf8 = new TextEncoder();
    const spelled = (part) => Array.from(utf8.encode(part), (byte) => this.characters[byte]);
    if (this.kind === "byte") return spelled(text).map((c) => this.ids.get(c));
    const found = [];
    if (!this.split) return this.merge(text, spelled(text));
    for (const word of text.match(WORDS) || [])
      for (const part of word.length > LONGEST_WORD ? cut(word) : [word]) for (const id of this.merge(part, spelled(part))) found.push(id);
    return found;
  }

  // The pair that was learned first is merged first, until none is left.
  merge(word, parts) {
    const known = this.words.get(word);
    if (known) return known;
    if (this.whole_words && this.ids.has(parts.join(""))) parts = [parts.join("")];
    while (parts.length > 1) {
      let best = -1;
      let least = Infinity;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`);
        if (rank < least) [best, least] = [i, rank];
      }
      if (best < 0) break;
      const [left, right] = [parts[best], parts[best + 1]];
      const merged = [];
      for (let i = 0; i < parts.length; i++) {
        if (parts[i] === left && parts[i + 1] === right) {
          merged.push(left + right);
          i++;
        } else merged.push(parts[i]);
      }
      parts = merged;
    }
    const ids = parts.map((part) => this.ids.get(part));
    if (this.words.size < 50000) this.words.set(word, ids);
    return ids;
  }

  // A function that gives the text which is complete with each further id.
  decoder() {
    return DECODERS[this.kind === "char" ? "char" : "bytes"](this);
  }

  decode(ids) {
    if (this.kind === "char") return ids.map((id) => this.tokens[id]).join("");
    const bytes = Uint8Array.from(ids.flatMap((id) => [...this.bytes[id]]));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }
}

function cut(word) {
  const characters = [...word];
  const parts = [];
  for (let i = 0; i < characters.length; i += LONGEST_WORD) parts.push(characters.slice(i, i + LONGEST_WORD).join(""));
  return parts;
}
