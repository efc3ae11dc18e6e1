"""textgru.core: recurrent layers, forward and backward, compiled. Knows arrays and nothing of text; needs NumPy only.

from textgru.core import GRU, Linear, softmax_cross_entropy, AdamW, flatten
"""

from textgru.core.average import WeightAverage
from textgru.core.gru import GRU
from textgru.core.layers import Embedding, Linear
from textgru.core.loss import softmax_cross_entropy
from textgru.core.optim import AdamW, clip_grad_norm, gradient_norm
from textgru.core.parameters import Layer, Parameters, flatten
from textgru.core.threads import get_num_threads, set_num_threads

__all__ = [
    "GRU",
    "AdamW",
    "Embedding",
    "Layer",
    "Linear",
    "Parameters",
    "WeightAverage",
    "clip_grad_norm",
    "flatten",
    "get_num_threads",
    "gradient_norm",
    "set_num_threads",
    "softmax_cross_entropy",
]
