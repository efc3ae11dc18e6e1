// One text on the page: its tokens, their colours, what can be done with it.

const LEVELS = [1, 2, 4, 6, 8, 12]; // bits from which a token has the next colour

export function levelOf(bits) {
  return LEVELS.filter((least) => bits >= least).length;
}

export function levelNames() {
  return LEVELS.map((low, i) => (i + 1 < LEVELS.length ? `${low} to ${LEVELS[i + 1]}` : `from ${low}`));
}

// Blanks and line ends as something that can be seen.
export function visible(text) {
  return text.replace(/\n/g, "↵").replace(/ /g, "␣").replace(/\t/g, "⇥") || "∅";
}

export class SampleView {
  // actions: {goOn(view), choose(view, i, alternative), pick(view, i, element)}
  constructor(number, title, actions) {
    this.number = number;
    this.actions = actions;
    this.given = "";
    this.tokens = []; // {text, bits, alternatives, element}
    this.waiting = []; // tokens whose text the backend holds back
    this.length = 0; // characters that may be shown
    this.shown = 0; // characters that are
    this.frame = 0;
    this.build(title);
  }

  build(title) {
    this.element = document.createElement("section");
    this.element.className = "sample";
    this.element.setAttribute("aria-label", title);
    const head = document.createElement("div");
    head.className = "sample-head";
    const heading = document.createElement("h2");
    heading.textContent = title;
    this.copyButton = this.button("Copy", () => this.copy());
    this.goOnButton = this.button("Go on", () => this.actions.goOn(this));
    this.goOnButton.disabled = true;
    head.append(heading, this.copyButton, this.goOnButton);
    this.body = document.createElement("div");
    this.body.className = "text";
    this.body.setAttribute("role", "group");
    this.body.setAttribute("aria-label", `${title}: text; arrows move between tokens, Enter shows what else could stand there`);
    this.before = document.createElement("span");
    this.before.className = "given";
    this.body.append(this.before);
    this.body.addEventListener("click", (event) => this.clicked(event));
    this.body.addEventListener("keydown", (event) => this.keyed(event));
    this.facts = document.createElement("p");
    this.facts.className = "facts";
    this.element.append(head, this.body, this.facts);
  }

  button(name, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = name;
    made.addEventListener("click", action);
    return made;
  }

  get text() {
    return this.given + this.tokens.map((token) => token.text).join("");
  }

  begin(given) {
    this.given = given;
    this.before.textContent = given;
    this.writing(true);
  }

  writing(yes) {
    this.element.classList.toggle("writing", yes);
    this.goOnButton.disabled = yes;
    if (!yes) this.tell();
  }

  // A piece: its tokens are shown as far as the text has come, which a stop string may hold back.
  add(piece) {
    this.waiting.push(...piece.tokens);
    this.length += piece.text.length;
    if (piece.finish_reason) this.reason = piece.finish_reason;
    if (!this.frame) this.frame = requestAnimationFrame(() => this.show());
  }

  flush() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.show();
    if (this.waiting.length && this.shown < this.length) {
      const token = this.waiting[0];
      this.put([{ ...token, text: token.text.slice(0, this.length - this.shown) }]);
      this.shown = this.length;
    }
    this.waiting = [];
  }

  show() {
    this.frame = 0;
    const ready = [];
    while (this.waiting.length && this.shown + this.waiting[0].text.length <= this.length) {
      const token = this.waiting.shift();
      this.shown += token.text.length;
      ready.push(token);
    }
    this.put(ready);
  }

  put(tokens) {
    const all = document.createDocumentFragment();
    for (const token of tokens) {
      const element = document.createElement("span");
      element.textContent = token.text;
      element.dataset.i = this.tokens.length;
      const level = levelOf(token.bits);
      if (level) element.className = `b${level}`;
      this.tokens.push({ ...token, element });
      all.append(element);
    }
    this.body.append(all);
    if (tokens.length && !this.current) this.focusable(0);
  }

  // The text is cut before token i, and another token stands there.
  replace(i, alternative) {
    for (const token of this.tokens.splice(i)) token.element.remove();
    this.current = undefined;
    this.put([{ text: alternative.text, bits: alternative.bits, alternatives: [] }]);
    this.focusable(i);
    this.waiting = [];
    this.reason = undefined;
  }

  tell() {
    const counted = this.tokens.filter((token) => token.bits != null && !Number.isNaN(token.bits));
    const bits = counted.reduce((sum, token) => sum + token.bits, 0);
    const characters = [...this.text].length - [...this.given].length;
    const each = characters ? ` · ${(bits / characters).toFixed(2)} bits a character` : "";
    const why = { length: "", stop: " · it ended", eos: " · the end of a document", stopped: " · stopped" }[this.reason] || "";
    this.facts.textContent = `${characters.toLocaleString("en")} characters${each}${why}`;
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.text);
    } catch {
      const area = document.createElement("textarea"); // no clipboard without a secure origin
      area.value = this.text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      this.copyButton.focus();
    }
    this.copyButton.textContent = "Copied";
    setTimeout(() => (this.copyButton.textContent = "Copy"), 1500);
  }

  clicked(event) {
    const element = event.target.closest("span[data-i]");
    if (element && !String(getSelection())) this.pick(Number(element.dataset.i));
  }

  pick(i) {
    this.focusable(i, true);
    this.actions.pick(this, i, this.tokens[i].element);
  }

  keyed(event) {
    if (this.current === undefined) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step) {
      this.focusable(Math.max(0, Math.min(this.tokens.length - 1, this.current + step)), true);
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      this.pick(this.current);
      event.preventDefault();
    }
  }

  // One token at a time is in the tab order.
  focusable(i, focus = false) {
    const old = this.tokens[this.current];
    if (old) for (const name of ["tabindex", "role", "aria-label"]) old.element.removeAttribute(name);
    this.current = i;
    const token = this.tokens[i];
    token.element.tabIndex = 0;
    token.element.setAttribute("role", "button");
    const bits = token.bits == null ? "given" : `${token.bits.toFixed(1)} bits`;
    token.element.setAttribute("aria-label", `${visible(token.text)}, ${bits}`);
    if (focus) token.element.focus();
  }
}
