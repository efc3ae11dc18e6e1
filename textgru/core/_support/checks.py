"""Checks of what comes in at the core's Python face: dtype, shape, contiguity, overlap, range."""

from __future__ import annotations

from math import inf, isfinite
from numbers import Real

import numpy as np

from textgru.core._support.arrays import fits, is_plain, least_and_most, rows_fit, share_memory
from textgru.core._support.machine import memory_bytes

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST_SIZE = 2**31 - 1  # the BLAS counts in 32 bits
SMALL = 1 << 24  # bytes, that are taken without a look at how many there are: that takes a tenth of a millisecond


def float_dtype(dtype: object) -> np.dtype:
    """`dtype` as numpy.dtype; raises TypeError unless it is float32 or float64."""
    try:
        resolved = None if dtype is None else np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError):
        resolved = None
    for allowed in FLOAT_DTYPES:
        if resolved is not None and resolved == allowed:
            return allowed
    raise TypeError(f"dtype: expected float32 or float64, got {dtype if resolved is None else resolved}")


def check_array(name: str, array: object, dtype: np.dtype, shape: tuple[int | str, ...]) -> None:
    """Raises TypeError unless `array` is a numpy array of `dtype`, ValueError unless it is C-contiguous and of `shape`.

    A string in `shape` names a dimension that may have any size from 1 up. Masked arrays, numpy.matrix and other
    subclasses are no such arrays; numpy.memmap is.
    """
    if fits(array, dtype, shape):
        return
    wanted = f"{dtype} array of shape ({', '.join(str(size) for size in shape)})"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a {wanted}, got {type(array).__name__}")
    if not is_plain(array):
        use = f"{name}.filled(...)" if isinstance(array, np.ma.MaskedArray) else f"numpy.asarray({name})"
        raise TypeError(f"{name}: expected a plain numpy array, got {type(array).__name__}; use {use}")
    if array.dtype != dtype:
        raise TypeError(f"{name}: expected a {wanted}, got {array.dtype} of shape {array.shape}")
    if not _fits(array, shape):
        if len(shape) == array.ndim == 1 and isinstance(shape[0], int):
            raise ValueError(f"{name}: expected {shape[0]} elements, got {array.size}")
        raise ValueError(f"{name}: expected a {wanted}, got shape {array.shape}")
    if not array.flags.aligned:
        raise ValueError(f"{name}: expected an aligned array; use {name}.copy()")
    raise ValueError(f"{name}: expected a C-contiguous array; use numpy.ascontiguousarray({name})")


def check_output(name: str, array: object, dtype: np.dtype, shape: tuple[int | str, ...]) -> None:
    """As check_array; raises ValueError as well unless the array may be written to."""
    check_array(name, array, dtype, shape)
    assert isinstance(array, np.ndarray)
    if not array.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, this is read-only")


def check_floats(name: str, array: object, shape: tuple[int | str, ...]) -> np.dtype:
    """As check_array for an array of float32 or float64: which it is."""
    dtype = array.dtype if isinstance(array, np.ndarray) and array.dtype in FLOAT_DTYPES else FLOAT_DTYPES[0]
    check_array(name, array, dtype, shape)
    return dtype


def check_rows(name: str, array: object, dtype: np.dtype, shape: tuple[int | str, ...]) -> None:
    """As check_array of a matrix, but only its rows have to be contiguous: it may be columns of a larger one."""
    if rows_fit(array, dtype, shape):
        return
    if is_plain(array) and isinstance(array, np.ndarray) and array.dtype == dtype and _fits(array, shape):
        raise ValueError(f"{name}: expected contiguous rows; use numpy.ascontiguousarray({name})")
    check_array(name, array, dtype, shape)


def check_apart(name: str, array: np.ndarray, /, **others: np.ndarray) -> None:
    """Raises ValueError if a C-contiguous array shares memory with one of the others, by their names."""
    for other, there in others.items():
        if share_memory(array, there):
            raise ValueError(f"{name}: expected an array apart from {other}, but they share memory")


def leading(array: object) -> tuple[str, ...]:
    """For check_array: any sizes for all dimensions of `array` but the last."""
    return ("any",) * (array.ndim - 1) if isinstance(array, np.ndarray) else ()


def sizes(array: object, *names: str) -> tuple[int | str, ...]:
    """For check_array: a dimension for each name, of any size, 0 as well."""
    return array.shape if isinstance(array, np.ndarray) and array.ndim == len(names) else names


def _fits(array: np.ndarray, shape: tuple[int | str, ...]) -> bool:
    if array.ndim != len(shape):
        return False
    sizes = zip(array.shape, shape, strict=True)
    return all(got == size or (got >= 1 and isinstance(size, str)) for got, size in sizes)


def check_index(name: str, array: object, shape: tuple[int | str, ...], bound: int) -> None:
    """As check_array for numpy.intp; raises IndexError as well if an element is not in 0..bound-1."""
    check_array(name, array, np.dtype(np.intp), shape)
    assert isinstance(array, np.ndarray)
    if not array.size:
        return
    low, high = least_and_most(array)
    if low < 0 or high >= bound:
        raise IndexError(f"{name}: expected indices from 0 to {bound - 1}, got {low if low < 0 else high}")


def own_index(name: str, array: object, shape: tuple[int | str, ...], bound: int) -> np.ndarray:
    """As check_index: a copy, checked, that nobody else can change afterwards. `array` need not be contiguous."""
    own = np.array(array, order="C") if isinstance(array, np.ndarray) and is_plain(array) else array
    check_index(name, own, shape, bound)
    assert isinstance(own, np.ndarray)
    return own


def check_integer(name: str, value: object, low: int, high: int) -> int:
    """`value` as int; raises TypeError unless it is an integer, ValueError unless low <= value <= high."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {_shown(value)}")
    if value < low:
        raise ValueError(f"{name}: expected at least {low}, got {_shown(value)}")
    if value > high:
        raise ValueError(f"{name}: expected at most {high}, got {_shown(value)}")
    return int(value)


def check_size(name: str, value: object) -> int:
    """`value` as int; raises TypeError unless it is an integer, ValueError unless it is from 1 to 2**31 - 1."""
    return check_integer(name, value, 1, LARGEST_SIZE)


def check_flag(name: str, value: object) -> bool:
    """`value` as bool; raises TypeError unless it is one, or 0 or 1."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {_shown(value)}")


def check_number(
    name: str, value: object, low: float = -inf, below: float = inf, *, above: float | None = None
) -> float:
    """`value` as float; raises TypeError unless it is a real number, ValueError unless it is finite, from `low` or
    above `above`, and below `below`."""
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name}: expected a number, got {_shown(value)}")
        try:
            value = float(value)
        except OverflowError:
            value = inf
    if isfinite(value) and low <= value < below and (above is None or value > above):
        return value
    if above is not None:
        wanted = f"number above {above:g}"
    elif low > -inf:
        wanted = f"number from {low:g} " + (f"to below {below:g}" if below < inf else "up")
    else:
        wanted = "finite number"
    raise ValueError(f"{name}: expected a {wanted}, got {value}")


def check_probability(name: str, value: object) -> float:
    """`value` as float; raises TypeError unless it is a number, ValueError unless 0 <= value < 1."""
    try:
        return check_number(name, value, 0.0, 1.0)
    except ValueError:
        raise ValueError(f"{name}: expected 0 <= {name} < 1, got {value}") from None


def check_seed(seed: object) -> np.random.Generator:
    """numpy.random.default_rng(seed); raises TypeError or ValueError for what can't be one."""
    if isinstance(seed, (bool, np.bool_, str, float)):
        raise TypeError(f"seed: expected an integer, a numpy.random.Generator or None, got {_shown(seed)}")
    try:
        return np.random.default_rng(seed)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"seed: expected an integer, a numpy.random.Generator or None, got {_shown(seed)}") from error
    except ValueError as error:
        raise ValueError(f"seed: expected an integer from 0 up, got {_shown(seed)}") from error


def check_memory(names: str, nbytes: int) -> None:
    """Raises MemoryError if `nbytes` is more than the machine has, before they are asked for."""
    if nbytes <= SMALL:
        return
    most = memory_bytes()
    if most is not None and nbytes > most:
        raise MemoryError(f"{names}: this needs {nbytes / 1e9:,.1f} GB, and the machine has {most / 1e9:,.1f} GB")


def _shown(value: object) -> str:
    """Briefly."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of {int(value.bit_length() * 0.30103) + 1} digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
