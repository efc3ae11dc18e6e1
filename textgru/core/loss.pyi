import numpy as np

def softmax_cross_entropy(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    dlogits: np.ndarray | None = None,
    scale: float = 1.0,
    ignore_index: int = -100,
) -> np.ndarray: ...
