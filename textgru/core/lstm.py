"""Long short-term memory (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000)."""

from __future__ import annotations

import numpy as np

from textgru.core._support.cell import Cell
from textgru.core.recurrent import Recurrent


class LSTM(Recurrent[tuple[np.ndarray, np.ndarray]]):
    """A stack of LSTM layers, the same as PyTorch's nn.LSTM:

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)            input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)            forget gate
        g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)               candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)            output gate
        c_t = f_t * c_{t-1} + i_t * g_t                                 cell state
        h_t = o_t * tanh(c_t)                                           hidden state

    Its state is the pair (h, c), two arrays (L, B, H): forward takes and returns such pairs, backward pairs of their
    gradients. `parameters` and `gradients`: weight_ih_l0 (4H, I), weight_hh_l0 (4H, H), bias_ih_l0 (4H,),
    bias_hh_l0 (4H,), and so on for l1, ...; gate order i, f, g, o. The arguments and the methods:
    textgru.core.recurrent.Recurrent.
    """

    cell = Cell("lstm", gates=("i", "f", "g", "o"), states=("h", "c"), kept=4)
