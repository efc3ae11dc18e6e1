import numpy as np

from textgru.core.workspace import Workspace

PRECISIONS: tuple[str, ...]
PRODUCT_KERNELS: tuple[str, ...]

def set_product_kernels(name: str) -> None: ...
def product_kernels() -> str: ...
def check_precision(precision: object) -> str: ...

class Products:
    precision: str
    room: Workspace
    def __init__(self, precision: str = "fp32") -> None: ...
    def multiply(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, *, bias: np.ndarray | None = None, accumulate: bool = False
    ) -> None: ...
