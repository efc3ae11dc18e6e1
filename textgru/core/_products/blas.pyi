import numpy as np

def multiply(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
) -> None: ...
def blas_version() -> str: ...
