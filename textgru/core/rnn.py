"""The plain recurrent network (Elman 1990)."""

from __future__ import annotations

import numpy as np

from textgru.core._support.cell import Cell
from textgru.core.recurrent import Recurrent


class RNN(Recurrent[np.ndarray]):
    """A stack of plain recurrent layers, the same as PyTorch's nn.RNN with tanh:

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)               hidden state

    `parameters` and `gradients`: weight_ih_l0 (H, I), weight_hh_l0 (H, H), bias_ih_l0 (H,), bias_hh_l0 (H,), and so on
    for l1, .... The arguments and the methods: textgru.core.recurrent.Recurrent.
    """

    cell = Cell("rnn", gates=("h",), states=("h",), kept=1)
