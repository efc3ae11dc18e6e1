"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078)."""

from __future__ import annotations

import numpy as np

from textgru.core.checks import check_flag
from textgru.core.gru_passes import backward, forward
from textgru.core.lookup import scatter_add
from textgru.core.products import Products
from textgru.core.recurrent import Recurrent
from textgru.core.row_order import RowOrder
from textgru.core.sums import column_sums
from textgru.core.workspace import Workspace

# A table is small, and one for each half of the batch, where there are so many times as many rows.
SMALL_TABLE = 16


class GRU(Recurrent):
    """A stack of GRU layers. With `reset_after` (the default, the same as PyTorch's nn.GRU and cuDNN):

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))       candidate (current memory content)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                           hidden state

    With reset_after=False, as in Cho et al. 2014 (arXiv:1406.1078, equations 5-8):

        n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)

    `parameters` and `gradients`: weight_ih_l0 (3H, I), weight_hh_l0 (3H, H), bias_ih_l0 (3H,), bias_hh_l0 (3H,), and
    so on for l1, ...; gate order r, z, n. The other arguments and the methods: textgru.core.recurrent.Recurrent.
    """

    _fixed = Recurrent._fixed | {"reset_after"}

    weight_blocks = 3
    saved_blocks = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        reset_after: bool = True,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        precision: str = "fp32",
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.reset_after = check_flag("reset_after", reset_after)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            dropout=dropout,
            variational_dropout=variational_dropout,
            precision=precision,
            dtype=dtype,
            seed=seed,
        )

    def _forward_layer(
        self,
        products: Products,
        work: Workspace,
        order: RowOrder,
        projected: np.ndarray,
        index: np.ndarray | None,
        w_hh: np.ndarray,
        b_hh: np.ndarray,
        h: np.ndarray,
        saved: np.ndarray,
    ) -> None:
        forward(self.reset_after, order, projected, index, w_hh, b_hh, h, saved, products, work)

    def _backward_layer(
        self,
        products: Products,
        work: Workspace,
        order: RowOrder,
        dy: np.ndarray,
        w_hh: np.ndarray,
        h: np.ndarray,
        saved: np.ndarray,
        dh: np.ndarray,
        dw_hh: np.ndarray,
        db_ih: np.ndarray | None,
        db_hh: np.ndarray | None,
        index: np.ndarray | None,
        dtable: np.ndarray | None,
    ) -> None:
        hidden = self.hidden_size
        small = dtable is not None and SMALL_TABLE * len(dtable) <= order.rows
        sums, sums_from = work.get("sums", 4 * hidden), 0 if dtable is None else 3 * hidden
        backward(
            self.reset_after,
            order,
            dy,
            w_hh,
            h,
            saved,
            dh,
            sums,
            sums_from,
            index,
            dtable if small else None,
            products,
            work,
        )
        if dtable is not None and not small:
            assert index is not None
            dtable[...] = 0
            scatter_add(index, saved[:, : 3 * hidden], dtable)
        if dtable is not None:  # the same sum, of fewer rows
            column_sums(dtable, sums[: 3 * hidden])
        if db_ih is not None and db_hh is not None:
            db_ih[: 2 * hidden], db_ih[2 * hidden :] = sums[hidden : 3 * hidden], sums[:hidden]
            db_hh[...] = db_ih
            if self.reset_after:
                db_hh[2 * hidden :] = sums[3 * hidden :]
        before = order.before(h)
        if self.reset_after:
            # [dr, dz, dn * r].T @ h_prev
            products.multiply_sum([(saved[rows, hidden:].T, h_prev) for rows, h_prev in before], dw_hh)
        else:
            # [dr, dz].T @ h_prev
            products.multiply_sum(
                [(saved[rows, hidden : 3 * hidden].T, h_prev) for rows, h_prev in before], dw_hh[: 2 * hidden]
            )
            products.multiply(saved[:, :hidden].T, saved[:, 3 * hidden :], dw_hh[2 * hidden :])  # dn.T @ (r * h_prev)

    def _input_gradients(
        self,
        products: Products,
        saved: np.ndarray,
        x: np.ndarray,
        w_ih: np.ndarray,
        dw_ih: np.ndarray,
        dx: np.ndarray | None,
    ) -> None:
        hidden = self.hidden_size
        rolled = self._workspace.get("rolled", 3 * hidden, x.shape[1])
        # In the order n, r, z of the gate gradients: [dn, dr, dz].T @ x
        products.multiply(saved[:, : 3 * hidden].T, x, rolled)
        dw_ih[2 * hidden :], dw_ih[: 2 * hidden] = rolled[:hidden], rolled[hidden:]
        if dx is not None:
            rolled[:hidden], rolled[hidden:] = w_ih[2 * hidden :], w_ih[: 2 * hidden]
            products.multiply(saved[:, : 3 * hidden], rolled, dx)
