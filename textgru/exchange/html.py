"""A model as one HTML file that writes in a browser, without a server and without a network.

It is the page of `textgru serve` with another backend: a few modules and a WebAssembly kernel beside this file, and the
model itself, with weights as 8-bit integers. All that somebody else wrote stands in it as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from textgru.core import quantize_rows
from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.text.tokenizer import Tokenizer, without_surrogates

ALIGNED = 16  # bytes
LARGEST_TABLE = 1024  # tokens: as in textgru.core.PackedNetwork, where the first layer's input products aren't rounded
MODULES = ("engine.js", "tokenizer.js", "local_backend.js")  # in front of the page's own
PAGE_MODULES = ("sample_view.js", "main.js")
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
UNITS = {"char": "char", "byte": "byte"}


@dataclass(frozen=True)
class Titles:
    """What the page says of the model: its title, a few lines about it, its licence."""

    title: str = "textgru"
    about: str = ""
    licence: str = ""


def page_with_model(model: LanguageModel, name: str, titles: Titles | None = None) -> bytes:
    """The HTML file. Raises InputError for a tokenizer that the page doesn't know."""
    titles = titles or Titles()
    titles = Titles(*map(without_surrogates, (titles.title, titles.about, titles.licence)))
    name = without_surrogates(name)
    page = files("textgru.server").joinpath("page")
    own = files("textgru.exchange").joinpath("browser")
    script = "\n".join(
        _module(folder.joinpath(module).read_text(encoding="utf-8"))
        for folder, modules in ((own, MODULES), (page, PAGE_MODULES))
        for module in modules
    )
    style = page.joinpath("style.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}' 'wasm-unsafe-eval'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    text = page.joinpath("index.html").read_text(encoding="utf-8")
    kernels = base64.b64encode(own.joinpath("kernels.wasm").read_bytes()).decode()
    weights = base64.b64encode(model_bytes(model, name, titles)).decode()
    text = _replaced(text, "<title>textgru</title>", f"<title>{html.escape(titles.title)}</title>")
    text = _replaced(
        text, '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
    )  # fmt: skip
    text = _replaced(text, '<link rel="stylesheet" href="page/style.css">', f"<style>{style}</style>")
    text = _replaced(text, '<script type="module" src="page/main.js"></script>\n', "")
    data = 'script type="application/octet-stream;base64"'
    text = _replaced(
        text, "</body>",
        f'<{data} id="textgru-kernels">{kernels}</script>\n<{data} id="textgru-model">{weights}</script>\n'
        f'<script type="module">{script}</script>\n</body>',
    )  # fmt: skip
    return text.encode()


def model_bytes(model: LanguageModel, name: str, titles: Titles) -> bytes:
    """The model for engine.js: the length of a header, the header as JSON, the arrays."""
    config, tokenizer = model.network.config, model.tokenizer
    described = _tokenizer(tokenizer)
    arrays, same = _arrays(model)
    places, data = {}, b""
    for key, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        places[key] = [len(data), len(content)]
        data += content + bytes(-len(content) % ALIGNED)
    about = "\n".join(part for part in (titles.about, titles.licence and f"Licence: {titles.licence}") if part)
    header = {
        "name": name,
        "title": titles.title,
        "about": about,
        "unit": UNITS.get(tokenizer.kind, "token"),
        "tokenizer": described,
        "reads_documents": model.reads_documents,
        "network": {
            "cell": config.cell, "V": config.vocab_size, "E": config.embedding_size, "H": config.hidden_size,
            "L": config.num_layers, "gates": GATES[config.cell], "exact_table": config.vocab_size <= LARGEST_TABLE,
        },
        "arrays": places,
        "same": same,
    }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    before = len(text).to_bytes(4, "little") + text
    return before + bytes(-len(before) % ALIGNED) + data


def _arrays(model: LanguageModel) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """By name, and which matrices are others, stored under their names."""
    config, found = model.network.config, dict(model.network.named_parameters())
    names = {"embedding": "embedding.weight"}
    for layer in range(config.num_layers):
        names |= {f"ih{layer}": f"{config.cell}.weight_ih_l{layer}", f"hh{layer}": f"{config.cell}.weight_hh_l{layer}"}
    arrays, same = {}, {}
    if config.tie_weights:
        same["output"] = "embedding"
    else:
        names["output"] = "output.weight"
    for key, name in names.items():
        integers, scales = quantize_rows(np.ascontiguousarray(found[name], np.float32))
        arrays[f"{key}.integers"], arrays[f"{key}.scales"] = integers, scales
    for layer in range(config.num_layers):
        for which in ("ih", "hh"):
            arrays[f"{which}{layer}.bias"] = np.float32(found[f"{config.cell}.bias_{which}_l{layer}"])
    arrays["output.bias"] = np.float32(found["output.bias"])
    return arrays, same


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """As tokenizer.js wants it."""
    if tokenizer.kind not in ("char", "byte", "bpe"):
        raise InputError(
            f"tokenizer: a {tokenizer.kind} tokenizer has no counterpart in the page; only char, byte and bpe have"
        )
    tokens = [""] * tokenizer.vocab_size
    for text, i in tokenizer.backend.get_vocab(with_added_tokens=True).items():
        known = i not in (tokenizer.eos_id, tokenizer.unk_id) or tokenizer.kind != "char"
        tokens[i] = text if known else ("\ufffd" if i == tokenizer.unk_id else "")
    found: dict[str, Any] = {
        "kind": tokenizer.kind, "tokens": tokens, "eos_id": tokenizer.eos_id, "unk_id": tokenizer.unk_id,
    }  # fmt: skip
    if tokenizer.kind == "bpe":
        merges = tokenizer.settings["model"]["merges"]
        found["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
        found["split"] = tokenizer.settings["pre_tokenizer"].get("use_regex", True)
        found["whole_words"] = bool(tokenizer.settings["model"].get("ignore_merges"))
    return found


def _module(text: str) -> str:
    """A module as a part of one script: what it imports stands in front of it."""
    text = re.sub(r"^import .*;\n", "", text, flags=re.M)
    return re.sub(r"^export ", "", text, flags=re.M)


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise RuntimeError(f"the page has no {old!r}")
    return text.replace(old, new)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
