"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078)."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgru.core._products.products import Products
from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.cell import Cell
from textgru.core._support.checks import check_flag
from textgru.core.recurrent import Recurrent


class GRU(Recurrent[np.ndarray]):
    """A stack of GRU layers. With `reset_after` (the default, the same as PyTorch's nn.GRU and cuDNN):

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))       candidate (current memory content)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                           hidden state

    With reset_after=False, as in Cho et al. 2014 (arXiv:1406.1078, equations 5-8):

        n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)

    which takes two products a step: slower, by the BLAS, recurrent products in float32 whatever the `precision`.

    `parameters` and `gradients`: weight_ih_l0 (3H, I), weight_hh_l0 (3H, H), bias_ih_l0 (3H,), bias_hh_l0 (3H,), and
    so on for l1, ...; gate order r, z, n. The other arguments and the methods: textgru.core.recurrent.Recurrent.
    """

    _fixed = Recurrent._fixed | {"reset_after"}

    cell = Cell("gru", gates=("r", "z", "n"), states=("h",), kept=4, recurrent_from=1, input_roll=1)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        reset_after: bool = True,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        weight_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        precision: str = "fp32",
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.reset_after = check_flag("reset_after", reset_after)
        self._reset_before = not self.reset_after
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            bidirectional=bidirectional,
            dropout=dropout,
            variational_dropout=variational_dropout,
            weight_dropout=weight_dropout,
            residual=residual,
            layer_norm=layer_norm,
            precision=precision,
            dtype=dtype,
            seed=seed,
        )

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"reset_after": self.reset_after}

    def _recurrent_gradient(
        self, products: Products, order: RowOrder, kept: np.ndarray, h: np.ndarray, dw_hh: np.ndarray
    ) -> None:
        if self.reset_after:
            super()._recurrent_gradient(products, order, kept, h, dw_hh)
            return
        hidden = self.hidden_size
        # [dr, dz].T @ h_prev, and dn.T @ (r * h_prev)
        products.multiply_sum(
            [(kept[rows, hidden : 3 * hidden].T, h_prev) for rows, h_prev in order.before(h)], dw_hh[: 2 * hidden]
        )
        products.multiply(kept[:, :hidden].T, kept[:, 3 * hidden :], dw_hh[2 * hidden :])
