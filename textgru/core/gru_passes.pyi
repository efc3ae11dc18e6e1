import numpy as np

from textgru.core.products import Products
from textgru.core.row_order import RowOrder
from textgru.core.workspace import Workspace

def forward(
    reset_after: bool,
    order: RowOrder,
    x: np.ndarray,
    index: np.ndarray | None,
    w_hh: np.ndarray,
    b_hh: np.ndarray,
    h: np.ndarray,
    gates: np.ndarray,
    products: Products,
    work: Workspace,
) -> None: ...
def backward(
    reset_after: bool,
    order: RowOrder,
    dy: np.ndarray,
    w_hh: np.ndarray,
    h: np.ndarray,
    gates: np.ndarray,
    dh: np.ndarray,
    sums: np.ndarray,
    sums_from: int,
    index: np.ndarray | None,
    table: np.ndarray | None,
    products: Products,
    work: Workspace,
) -> None: ...
