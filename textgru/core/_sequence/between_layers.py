"""What may stand between the layers of a stack: layer normalisation."""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5  # as in PyTorch's nn.LayerNorm


def normalise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450) of x (..., n), and what its backward pass needs."""
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + x.dtype.type(EPSILON))
    normal = centred * scale
    return normal * weight + bias, (normal, scale)


def normalise_backward(
    dy: np.ndarray, kept: tuple[np.ndarray, np.ndarray], weight: np.ndarray, dweight: np.ndarray, dbias: np.ndarray
) -> np.ndarray:
    """dx; fills dweight and dbias (n,)."""
    normal, scale = kept
    every = tuple(range(dy.ndim - 1))
    dweight[...], dbias[...] = (dy * normal).sum(every), dy.sum(every)
    d = dy * weight
    dx: np.ndarray = scale * (d - d.mean(-1, keepdims=True) - normal * (d * normal).mean(-1, keepdims=True))
    return dx
