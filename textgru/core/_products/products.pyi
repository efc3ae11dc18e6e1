import numpy as np

from textgru.core._support.workspace import Workspace

class Products:
    precision: str
    kernels: str | None
    room: Workspace
    def __init__(self, precision: str = "fp32", kernels: str | None = None) -> None: ...
    def multiply(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, *, bias: np.ndarray | None = None, accumulate: bool = False
    ) -> None: ...
    def multiply_sum(self, pairs: list[tuple[np.ndarray, np.ndarray]], c: np.ndarray) -> None: ...
