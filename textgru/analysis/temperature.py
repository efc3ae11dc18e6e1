"""The temperature at which a model is as sure as it is right."""

from __future__ import annotations

import numpy as np

from textgru.analysis.reader import Reader
from textgru.model.config import LOGITS_BYTES
from textgru.model.ensemble import Packed
from textgru.model.network import Network

MOST_TOKENS = 16_384  # of a text that are looked at
MOST_PASSES = 8
COLDEST, HOTTEST = 0.1, 10.0
EXACT = 1e-3  # of 1 / temperature


def calibrated_temperature(network: Network | Packed, tokens: np.ndarray) -> float:
    """The temperature T for which softmax(scores / T) gives tokens (n,), n at least 2, the least loss: temperature
    scaling, Guo et al. 2017 (arXiv:1706.04599, section 4.2). Above 1 the network is too sure of itself. Of a long text
    the first MOST_TOKENS are read, as one stream, up to MOST_PASSES times.

    The loss is convex in 1 / T, which is found by Newton's method; what lies outside COLDEST to HOTTEST is moved there.
    Raises ValueError for fewer than two tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    tokens = tokens[:MOST_TOKENS].astype(np.intp)
    sharpness = 1.0
    for _ in range(MOST_PASSES):
        slope, curvature = _derivatives(network, tokens, sharpness)
        wanted = sharpness - slope / max(curvature, 1e-12)
        # The loss is nearly linear far from its least: no more than a factor of two at once.
        before, sharpness = sharpness, float(np.clip(wanted, sharpness / 2, sharpness * 2))
        sharpness = min(max(sharpness, 1 / HOTTEST), 1 / COLDEST)
        if abs(sharpness - before) < EXACT:
            break
    return 1 / sharpness


def _derivatives(network: Network | Packed, tokens: np.ndarray, sharpness: float) -> tuple[float, float]:
    """The first and the second derivative of the mean loss by the sharpness 1 / T: the expected score less that of what
    came, and the scores' variance."""
    vocab = (network.config if isinstance(network, Network) else network).vocab_size
    steps = max(1, LOGITS_BYTES // (vocab * 8 * 4))
    reader, slope, curvature = Reader(network, 1), 0.0, 0.0
    for first in range(0, len(tokens) - 1, steps):
        window = tokens[first : first + steps + 1]
        scores = reader.scores(window[:-1, None])[:, 0].astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores * sharpness)
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * scores).sum(axis=1)
        slope += float((mean - scores[np.arange(len(scores)), window[1:]]).sum())
        curvature += float(((p * scores**2).sum(axis=1) - mean**2).sum())
    n = len(tokens) - 1
    return slope / n, curvature / n
