from typing import Literal, overload

import numpy as np

@overload
def ctc_loss(
    logits: np.ndarray,
    targets: np.ndarray,
    input_lengths: np.ndarray | None = None,
    target_lengths: np.ndarray | None = None,
    *,
    blank: int = 0,
    reduction: Literal["mean", "sum"] = "mean",
    zero_infinity: bool = False,
    dlogits: np.ndarray | None = None,
    scale: float = 1.0,
) -> float: ...
@overload
def ctc_loss(
    logits: np.ndarray,
    targets: np.ndarray,
    input_lengths: np.ndarray | None = None,
    target_lengths: np.ndarray | None = None,
    *,
    blank: int = 0,
    reduction: Literal["none"],
    zero_infinity: bool = False,
    dlogits: np.ndarray | None = None,
    scale: float = 1.0,
) -> np.ndarray: ...
