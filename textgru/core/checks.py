"""Checks of what comes in at the core's Python face: dtype, shape, contiguity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def float_dtype(dtype: object) -> np.dtype:
    """`dtype` as numpy.dtype; raises TypeError unless it is float32 or float64."""
    resolved: np.dtype = np.dtype(dtype)  # type: ignore[call-overload]
    if resolved not in FLOAT_DTYPES:
        raise TypeError(f"dtype: expected float32 or float64, got {resolved}")
    return resolved


def check_array(name: str, array: object, dtype: np.dtype, shape: Sequence[int | str]) -> None:
    """Raises TypeError unless `array` is a numpy array of `dtype`, ValueError unless it is C-contiguous and of `shape`.

    A string in `shape` names a dimension that may have any size from 1 up.
    """
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous and _fits(array, shape):
        return
    wanted = f"{dtype} array of shape ({', '.join(str(size) for size in shape)})"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a {wanted}, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name}: expected a {wanted}, got {array.dtype} of shape {array.shape}")
    if not _fits(array, shape):
        raise ValueError(f"{name}: expected a {wanted}, got shape {array.shape}")
    raise ValueError(f"{name}: expected a C-contiguous array; use numpy.ascontiguousarray({name})")


def _fits(array: np.ndarray, shape: Sequence[int | str]) -> bool:
    if array.ndim != len(shape):
        return False
    for got, size in zip(array.shape, shape, strict=True):  # not all(...): a step checks a dozen arrays
        if got != size and (got < 1 or not isinstance(size, str)):
            return False
    return True


def check_index(name: str, array: object, shape: Sequence[int | str], bound: int) -> None:
    """As check_array for numpy.intp; raises IndexError as well if an element is not in 0..bound-1."""
    check_array(name, array, np.dtype(np.intp), shape)
    assert isinstance(array, np.ndarray)
    low, high = array.min(), array.max()
    if low < 0 or high >= bound:
        raise IndexError(f"{name}: expected indices from 0 to {bound - 1}, got {low if low < 0 else high}")


def check_size(name: str, value: object) -> int:
    """`value` as int; raises TypeError unless it is an integer, ValueError if it is below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return int(value)


def check_probability(name: str, value: float) -> float:
    """`value` as float; raises ValueError unless 0 <= value < 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name}: expected 0 <= {name} < 1, got {value}")
    return float(value)
