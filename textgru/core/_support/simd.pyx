"""The instruction sets: which were built, which this CPU can run, which is in use; and the vector functions."""

import os
import warnings

from cython cimport floating

from textgru.core._support.checks import check_apart, check_floats, check_output, sizes

cdef extern from "dispatch.h" nogil:
    int textgru_supported_kernels(const textgru_kernels** tables, int capacity)

cdef const textgru_kernels* tables[8]
cdef int table_count = textgru_supported_kernels(tables, 8)


def supported_instruction_sets() -> list[str]:
    """The instruction sets that this build has and this CPU can run, best first; the last is "baseline"."""
    return [tables[i].name.decode("ascii") for i in range(table_count)]


def instruction_set() -> str:
    """The instruction set in use."""
    return kernels.name.decode("ascii")


def bf16_is_fast() -> bool:
    """Whether the instruction set in use multiplies bfloat16 itself; else it is emulated, slower than float32."""
    return bool(kernels.bf16_is_fast)


def int8_is_fast() -> bool:
    """Whether the instruction set in use multiplies 8-bit integers itself; else plain C does it."""
    return bool(kernels.int8_is_fast)


def set_instruction_set(name: str) -> None:
    """Use the kernels built for this instruction set, in the whole process. Not while the core is computing.

    Raises ValueError if this CPU or this build doesn't have it.
    """
    global kernels
    for i in range(table_count):
        if tables[i].name.decode("ascii") == name:
            kernels = tables[i]
            return
    raise ValueError(f"instruction set {name!r} is not available here, only {', '.join(supported_instruction_sets())}")


def _elementwise(str name, const floating[::1] x, floating[::1] y):
    cdef Py_ssize_t n = x.shape[0]
    if n == 0:
        return
    if name == "exp":
        if floating is float:
            kernels.f32.exp(n, &x[0], &y[0])
        else:
            kernels.f64.exp(n, &x[0], &y[0])
    elif name == "sigmoid":
        if floating is float:
            kernels.f32.sigmoid(n, &x[0], &y[0])
        else:
            kernels.f64.sigmoid(n, &x[0], &y[0])
    elif floating is float:
        kernels.f32.tanh(n, &x[0], &y[0])
    else:
        kernels.f64.tanh(n, &x[0], &y[0])


def _check_pair(x, y):
    dtype = check_floats("x", x, sizes(x, "n"))
    check_output("y", y, dtype, x.shape)
    check_apart("y", y, x=x)


def exp(x, y) -> None:
    """y[i] = exp(x[i]); x and y (n,) of one dtype, float32 or float64, not overlapping."""
    _check_pair(x, y)
    _elementwise("exp", x, y)


def sigmoid(x, y) -> None:
    """y[i] = 1 / (1 + exp(-x[i])); x and y (n,) of one dtype, float32 or float64, not overlapping."""
    _check_pair(x, y)
    _elementwise("sigmoid", x, y)


def tanh(x, y) -> None:
    """y[i] = tanh(x[i]); x and y (n,) of one dtype, float32 or float64, not overlapping."""
    _check_pair(x, y)
    _elementwise("tanh", x, y)


cdef void _choose_at_import():
    global kernels
    kernels = tables[0]
    wanted = os.environ.get("TEXTGRU_SIMD", "")
    if wanted:
        try:
            set_instruction_set(wanted)
        except ValueError as error:
            warnings.warn(f"TEXTGRU_SIMD: {error}; using {instruction_set()}", RuntimeWarning)


_choose_at_import()
