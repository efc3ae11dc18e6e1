// The page: what is asked for, and where it is shown.

import { backend, KeyNeeded } from "./backend.js";
import { SampleView, levelNames, visible } from "./sample_view.js";

const ALTERNATIVES = 5;
const NUMBERS = ["max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"];
const at = (id) => document.getElementById(id);

let views = [];
let running = null; // an AbortController
let goneOn = 0; // how often a text was continued: each time with other random numbers

function settings() {
  const found = { model: at("model").value || undefined, alternatives: ALTERNATIVES };
  for (const id of NUMBERS) if (at(id).value !== "") found[id] = Number(at(id).value);
  if (at("stop_text").value) found.stop = [at("stop_text").value.replace(/\\n/g, "\n")];
  return found;
}

function complain(error) {
  at("error").textContent = error instanceof KeyNeeded && !backend.key ? "" : error.message;
  at("error").hidden = !at("error").textContent;
  at("key-form").hidden = !(error instanceof KeyNeeded);
  if (error instanceof KeyNeeded) at("key").focus();
}

async function run(action) {
  if (running) return;
  running = new AbortController();
  at("error").hidden = true;
  at("stop").disabled = false;
  at("write").disabled = at("score").disabled = true;
  closeAlternatives();
  at("status").textContent = "Writing";
  try {
    await action(running.signal);
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
    for (const view of views) if (!view.reason) view.reason = "stopped";
  } finally {
    running = null;
    at("stop").disabled = true;
    at("write").disabled = at("score").disabled = false;
    for (const view of views) {
      view.flush();
      view.writing(false);
    }
    at("status").textContent = views.map((view) => `${view.element.getAttribute("aria-label")}: ${view.facts.textContent}`).join(". ");
  }
}

function lay(titles, prompt) {
  views = titles.map((title, i) => new SampleView(i, title, { goOn, pick: showAlternatives }));
  at("samples").replaceChildren(...views.map((view) => view.element));
  for (const view of views) view.begin(prompt);
}

function write() {
  if (!at("form").reportValidity()) {
    at("settings").open = true;
    return;
  }
  const prompt = at("prompt").value;
  const n = Number(at("n").value);
  goneOn = 0;
  run(async (signal) => {
    lay(n === 1 ? ["Text"] : Array.from({ length: n }, (_, i) => `Sample ${i + 1}`), prompt);
    for await (const piece of backend.generate({ ...settings(), prompt, n }, signal)) views[piece.index].add(piece);
  });
}

function goOn(view) {
  run(async (signal) => {
    view.reason = undefined;
    view.length = view.shown = 0; // of the pieces that come now
    view.writing(true);
    const wanted = { ...settings(), prompt: view.text, n: 1 };
    if (wanted.seed !== undefined) wanted.seed += ++goneOn;
    for await (const piece of backend.generate(wanted, signal)) view.add(piece);
  });
}

function score() {
  const text = at("prompt").value;
  if (!text) return complain(new Error("Type a text first."));
  run(async () => {
    lay(["Your text"], "");
    const found = await backend.score({ model: settings().model, text, alternatives: ALTERNATIVES });
    views[0].add({ text: found.tokens.map((token) => token.text).join(""), tokens: found.tokens, finish_reason: "length" });
  });
}

function showAlternatives(view, i, element) {
  const token = view.tokens[i];
  const box = at("alternatives");
  const about = document.createElement("p");
  const bits = token.bits == null ? "the first token is given" : `${token.bits.toFixed(1)} bits, ${percent(token.bits)}`;
  about.textContent = `${visible(token.text)}  ${bits}`;
  const choices = (token.alternatives || []).map((other) => {
    const button = document.createElement("button");
    button.type = "button";
    const spelled = document.createElement("span");
    spelled.className = "spelled";
    spelled.textContent = visible(other.text);
    const part = document.createElement("span");
    part.textContent = percent(other.bits);
    const bar = document.createElement("span");
    bar.className = "bar";
    const filled = document.createElement("i");
    filled.style.setProperty("--part", `${100 * 2 ** -other.bits}%`);
    bar.append(filled);
    button.append(spelled, part, bar);
    if (other.text === token.text) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => choose(view, i, other));
    return button;
  });
  if (choices.length) about.textContent += " · choose, and it goes on from there:";
  box.replaceChildren(about, ...choices);
  box.hidden = false;
  const place = element.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 8));
  box.style.setProperty("left", `${left + scrollX}px`);
  box.style.setProperty("top", `${place.bottom + scrollY + 6}px`);
  box.returnTo = element;
  (choices[0] || element).focus({ preventScroll: true });
}

function percent(bits) {
  const part = 100 * 2 ** -bits;
  return `${part >= 10 ? part.toFixed(0) : part.toPrecision(2)}%`;
}

function closeAlternatives(focus = false) {
  const box = at("alternatives");
  if (box.hidden) return;
  box.hidden = true;
  if (focus && box.returnTo && box.returnTo.isConnected) box.returnTo.focus();
}

function choose(view, i, alternative) {
  if (running) return;
  closeAlternatives();
  view.replace(i, alternative);
  goOn(view);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  at("theme").setAttribute("aria-pressed", String(theme === "dark"));
  at("theme").textContent = theme === "dark" ? "Light" : "Dark";
  at("theme").setAttribute("aria-label", theme === "dark" ? "Light theme" : "Dark theme");
}

function keptTheme(theme) {
  try {
    if (theme) localStorage.setItem("textgru-theme", theme);
    return localStorage.getItem("textgru-theme");
  } catch {
    return null; // a file has no storage in some browsers
  }
}

function colour() {
  document.body.classList.toggle("coloured", at("colours").checked);
  at("legend").hidden = !at("colours").checked;
}

async function learnModels() {
  try {
    const { models, title, about } = await backend.info();
    at("key-form").hidden = at("error").hidden = true;
    if (title) at("title").textContent = document.title = title;
    at("about").textContent = about || (models.length === 1 ? models[0].description : "") || "";
    at("about").hidden = !at("about").textContent;
    at("model").replaceChildren(
      ...models.map((model) => {
        const option = document.createElement("option");
        option.value = option.textContent = model.id;
        return option;
      }),
    );
    at("model-label").hidden = models.length < 2;
    const unit = () => {
      const model = models.find((one) => one.id === at("model").value);
      at("unit").textContent = { char: "in characters", byte: "in bytes" }[model && model.unit] || "in tokens";
      if (models.length > 1) at("about").textContent = model.description;
      at("about").hidden = !at("about").textContent;
    };
    at("model").onchange = unit;
    unit();
  } catch (error) {
    complain(error);
  }
}

function start() {
  for (const [i, name] of levelNames().entries()) {
    const item = document.createElement("li");
    item.className = `b${i + 1}`;
    item.textContent = i + 1 < levelNames().length ? name : `${name} bits`;
    at("legend").append(item);
  }
  setTheme(keptTheme() || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  colour();
  at("theme").addEventListener("click", () => {
    const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    keptTheme(other);
    setTheme(other);
  });
  at("colours").addEventListener("change", colour);
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  at("stop").addEventListener("click", () => running && running.abort());
  at("score").addEventListener("click", score);
  at("key-use").addEventListener("click", () => {
    backend.key = at("key").value;
    learnModels();
  });
  at("key").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    at("key-use").click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      write();
    } else if (event.key === "Escape") {
      if (!at("alternatives").hidden) closeAlternatives(true);
      else if (running) running.abort();
    }
  });
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("#alternatives, span[data-i]")) closeAlternatives();
  });
  learnModels();
  at("prompt").focus();
}

start();
