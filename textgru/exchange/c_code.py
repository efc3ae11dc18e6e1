"""A model for C: its weights as one file, and a header that reads and runs it."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgru.errors import InputError
from textgru.exchange.files import template
from textgru.generation.starts import first_tokens
from textgru.language_model import LanguageModel
from textgru.text.tokenizer import Tokenizer

MAGIC = b"textgru1"
CELLS, KINDS = ("gru", "lstm", "rnn"), ("char", "byte", "bpe")


def c_files(model: LanguageModel) -> dict[str, bytes]:
    """model.bin, textgru.h, sample.c. Raises InputError for a tokenizer that the header doesn't know."""
    header, sample = template("textgru.h"), template("sample.c")
    return {"model.bin": weights_file(model), "textgru.h": header.encode(), "sample.c": sample.encode()}


def weights_file(model: LanguageModel) -> bytes:
    """As textgru.h reads it: "textgru1", ten 32-bit integers, where each token's bytes begin (V + 1), the bytes, the
    merges (three ids each), the weights in float32; all little-endian."""
    config, tokenizer = model.network.config, model.tokenizer
    if tokenizer.kind not in KINDS:
        raise InputError(
            f"tokenizer: a {tokenizer.kind} tokenizer has no counterpart in C; only char, byte and bpe have"
        )
    texts = tokenizer.token_bytes()
    assert texts is not None
    merges = _merges(tokenizer)
    start = int(first_tokens(tokenizer, "", from_eos=model.reads_documents)[-1])
    unknown, end = (-1 if token is None else token for token in (tokenizer.unk_id, tokenizer.eos_id))
    numbers = [
        CELLS.index(config.cell), KINDS.index(tokenizer.kind), config.vocab_size, config.embedding_size,
        config.hidden_size, config.num_layers, unknown, end, len(merges), start,
    ]  # fmt: skip
    parts = [MAGIC, np.array(numbers, "<i4").tobytes()]
    parts.append(np.cumsum([0, *map(len, texts)]).astype("<i4").tobytes())
    parts += [b"".join(texts), np.array(merges, "<i4").tobytes()]
    return b"".join(parts) + b"".join(array.astype("<f4").tobytes() for array in _weights(model))


def _weights(model: LanguageModel) -> list[np.ndarray]:
    config, found = model.network.config, model.network.named_parameters()
    names = ["embedding.weight"]
    for layer in range(config.num_layers):
        names += [f"{config.cell}.{which}_l{layer}" for which in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    names += ["embedding.weight" if config.tie_weights else "output.weight", "output.bias"]
    return [found[name] for name in names]


def _merges(tokenizer: Tokenizer) -> list[list[int]]:
    if tokenizer.kind != "bpe":
        return []
    model: dict[str, Any] = tokenizer.settings["model"]
    vocabulary, found = model["vocab"], []
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        found.append([vocabulary[left], vocabulary[right], vocabulary[left + right]])
    return found
