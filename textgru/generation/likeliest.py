"""The likeliest tokens for some scores, and their probabilities."""

from __future__ import annotations

import numpy as np


def likeliest(logits: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For scores (..., V): the `top` likeliest tokens (..., top) intp, the likeliest first, the natural logarithms of
    their probabilities (..., top) float64, and what is to be taken from any score for the logarithm of its
    probability (...) float64."""
    scores = logits.astype(np.float64)
    most = scores.max(axis=-1, keepdims=True)
    of_all = np.log(np.exp(scores - most).sum(axis=-1, keepdims=True)) + most
    if not top:
        tokens = np.empty((*logits.shape[:-1], 0), np.intp)
    else:
        tokens = np.argpartition(-logits, top - 1, axis=-1)[..., :top]
    order = np.argsort(-np.take_along_axis(logits, tokens, axis=-1), axis=-1, kind="stable")
    tokens = np.take_along_axis(tokens, order, axis=-1)
    return tokens, np.take_along_axis(scores, tokens, axis=-1) - of_all, of_all[..., 0]
