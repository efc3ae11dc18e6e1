import numpy as np

def dropout(
    x: np.ndarray, p: float, key: int, period: int = 0, start: int = 0, source: np.ndarray | None = None
) -> None: ...
