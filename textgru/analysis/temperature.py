"""The temperature at which a model is as sure as it is right."""

from __future__ import annotations

import numpy as np

from textgru.analysis.reader import Reader
from textgru.model.config import LOGITS_BYTES
from textgru.model.ensemble import Packed
from textgru.model.network import Network

MOST_TOKENS = 8192  # of a text that are looked at
MOST_SCORES, MOST_PRODUCTS = 1 << 25, 1 << 32  # and fewer where those of a pass would be more than these
STREAMS, SHORTEST_STREAM = 16, 512  # that are read side by side, and their tokens
MOST_PASSES = 6
COLDEST, HOTTEST = 0.1, 10.0
EXACT = 1e-3  # of 1 / temperature


def calibrated_temperature(network: Network | Packed, tokens: np.ndarray) -> float:
    """The temperature T for which softmax(scores / T) gives tokens (n,), n at least 2, the least loss: temperature
    scaling, Guo et al. 2017 (arXiv:1706.04599, section 4.2). Above 1 the network is too sure of itself. Of a long text
    the first MOST_TOKENS are read, fewer by a large network, in up to STREAMS parts side by side, up to MOST_PASSES
    times.

    The loss is convex in 1 / T, which is found by Newton's method; what lies outside COLDEST to HOTTEST is moved there.
    Raises ValueError for fewer than two tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    vocab = (network.config if isinstance(network, Network) else network).vocab_size
    most = min(MOST_TOKENS, MOST_SCORES // vocab)
    if isinstance(network, Network):
        most = min(most, MOST_PRODUCTS // network.config.multiplied_weights())
    tokens = tokens[: max(2, most)]
    rows = max(1, min(STREAMS, (len(tokens) - 1) // SHORTEST_STREAM))
    part = (len(tokens) - 1) // rows
    streams = np.stack([tokens[row * part : (row + 1) * part + 1] for row in range(rows)], axis=1).astype(np.intp)
    sharpness = 1.0
    for _ in range(MOST_PASSES):
        slope, curvature = _derivatives(network, streams, sharpness, max(1, LOGITS_BYTES // (rows * vocab * 32)))
        wanted = sharpness - slope / max(curvature, 1e-12)
        # The loss is nearly linear far from its least: no more than a factor of two at once.
        before, sharpness = sharpness, float(np.clip(wanted, sharpness / 2, sharpness * 2))
        sharpness = min(max(sharpness, 1 / HOTTEST), 1 / COLDEST)
        if abs(sharpness - before) < EXACT:
            break
    return 1 / sharpness


def _derivatives(network: Network | Packed, streams: np.ndarray, sharpness: float, steps: int) -> tuple[float, float]:
    """The first and the second derivative of the mean loss of streams (T + 1, B) by the sharpness 1 / T: the expected
    score less that of what came, and the scores' variance. `steps` are read at a time."""
    reader, slope, curvature = Reader(network, streams.shape[1]), 0.0, 0.0
    for first in range(0, len(streams) - 1, steps):
        window = streams[first : first + steps + 1]
        scores = reader.scores(window[:-1]).astype(np.float64)
        scores -= scores.max(axis=-1, keepdims=True)
        p = np.exp(scores * sharpness)
        p /= p.sum(axis=-1, keepdims=True)
        mean = (p * scores).sum(axis=-1)
        slope += float((mean - np.take_along_axis(scores, window[1:, :, None], axis=-1)[..., 0]).sum())
        curvature += float(((p * scores**2).sum(axis=-1) - mean**2).sum())
    n = streams[1:].size
    return slope / n, curvature / n
