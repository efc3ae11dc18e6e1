"""textgru.core: recurrent layers, forward and backward, compiled. Knows arrays and nothing of text; needs NumPy only.

from textgru.core import GRU, Linear, softmax_cross_entropy, AdamW, flatten

What stands in its rooms whose names begin with an underscore is not checked against misuse, and nobody's business.
"""

from textgru.core._products.products import Products
from textgru.core._products.quantization import dequantize_rows, quantize_rows
from textgru.core._sequence.row_order import RowOrder
from textgru.core._stepping.packed_network import PackedNetwork
from textgru.core._stepping.sampler import Sampler
from textgru.core._stepping.session import Session
from textgru.core._support.checks import check_array, check_index
from textgru.core._support.machine import available_cpus, memory_bytes
from textgru.core._support.threads import get_num_threads, set_num_threads
from textgru.core._support.workspace import Workspace
from textgru.core.average import WeightAverage
from textgru.core.ctc import ctc_loss
from textgru.core.gru import GRU
from textgru.core.layers import Embedding, Linear
from textgru.core.loss import softmax_cross_entropy
from textgru.core.lstm import LSTM
from textgru.core.muon import Muon
from textgru.core.optim import AdamW, clip_grad_norm, gradient_norm
from textgru.core.parameters import Layer, Parameters, flatten
from textgru.core.recurrent import Recurrent
from textgru.core.rnn import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdamW",
    "Embedding",
    "Layer",
    "Linear",
    "Muon",
    "PackedNetwork",
    "Parameters",
    "Products",
    "Recurrent",
    "RowOrder",
    "Sampler",
    "Session",
    "WeightAverage",
    "Workspace",
    "available_cpus",
    "check_array",
    "check_index",
    "clip_grad_norm",
    "ctc_loss",
    "dequantize_rows",
    "flatten",
    "get_num_threads",
    "gradient_norm",
    "memory_bytes",
    "quantize_rows",
    "set_num_threads",
    "softmax_cross_entropy",
]
