"""Texts as vectors: what the network's hidden state is after reading one, or on average while it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from textgru.errors import InputError
from textgru.model.network import Network
from textgru.text.files import normalise
from textgru.text.tokenizer import Tokenizer
from textgru.typed import shown

POOLS = ("last", "mean")
# Texts are always read this many side by side, this many tokens at a time, empty places included: products of one shape
# add up in one order, so that a text's vector does not depend on the others.
ROWS = 64
STEPS = 16


def embed(
    network: Network,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    pool: str = "last",
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The vectors (N, H) float32 of N texts: hidden states h of the last layer, H units, each text read from the zero
    state. `pool` "last" takes the state after the last token, "mean" the mean of those after each token.

    A text without tokens has the vector of the zero state. Line ends are read as the training's were
    (textgru.text.files.normalise). The weights are taken in float32. `on_progress` is called with the tokens read so
    far and in all. Not from two threads at once on one network. Raises InputError for what isn't a list of texts, or
    another pool.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InputError(f"texts: expected a list of texts, got {type(texts).__name__}")
    if pool not in POOLS:
        raise InputError(f"pool: expected {' or '.join(POOLS)}, got {shown(pool)}")
    tokens = [tokenizer.encode(normalise(text)) for text in texts]
    lengths = np.array([len(ids) for ids in tokens], np.intp)
    vectors = np.zeros((len(texts), network.config.hidden_size), np.float32)
    longest_first = np.argsort(-lengths, kind="stable")
    total, done = int(lengths.sum()), 0
    for first in range(0, len(texts), ROWS):
        batch = longest_first[first : first + ROWS]
        _embed_batch(network, [tokens[i] for i in batch], pool, vectors, batch)
        done += int(lengths[batch].sum())
        if on_progress is not None:
            on_progress(done, total)
    return vectors


def _embed_batch(network: Network, tokens: list[np.ndarray], pool: str, vectors: np.ndarray, rows: np.ndarray) -> None:
    """The vectors of up to ROWS texts, to these rows."""
    count, hidden = len(tokens), network.config.hidden_size
    lengths = np.array([len(ids) for ids in tokens] + [0] * (ROWS - count), np.intp)
    longest = int(lengths.max())
    ids = np.zeros((-(-longest // STEPS) * STEPS, ROWS), np.intp)
    for row, text in enumerate(tokens):
        ids[: len(text), row] = text
    table, state = network.embedding.parameters["weight"], None
    pooled = np.zeros((ROWS, hidden))
    for begin in range(0, longest, STEPS):
        y, state = network.recurrent.forward_lookup(
            table, ids[begin : begin + STEPS], state, training=False, copy=False
        )
        if pool == "mean":
            read = np.arange(begin, begin + STEPS)[:, None] < lengths
            pooled += np.where(read[..., None], y, 0).sum(axis=0, dtype=np.float64)
        else:
            ends = np.flatnonzero((begin < lengths) & (lengths <= begin + STEPS))
            pooled[ends] = y[lengths[ends] - 1 - begin, ends]
    if pool == "mean":
        pooled /= np.maximum(lengths, 1)[:, None]
    vectors[rows] = pooled[:count]
