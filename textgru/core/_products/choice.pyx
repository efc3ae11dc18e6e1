"""Which products: at which precision, by our own kernels or the BLAS."""

import os
import warnings

from textgru.core._support.simd cimport kernels as tables

PRECISIONS = ("fp32", "bf16")
PRODUCT_KERNELS = ("auto", "packed", "blas")

cdef int chosen = AUTO


def set_product_kernels(name: str) -> None:
    """What multiplies float32 matrices from now on, in the whole process, but for Products with kernels of their own:
    "packed" (our own kernels), "blas", or "auto", our own where the instruction set in use has wide vectors and there
    are rows enough. Not while the core is computing.

    The environment variable TEXTGRU_PRODUCTS says what it is at import. bfloat16 products are always our own, float64
    products always the BLAS's. Raises ValueError for another name.
    """
    global chosen
    chosen = PRODUCT_KERNELS.index(name_of("product kernels", name, PRODUCT_KERNELS))


def name_of(what, name, names):
    """The name; raises ValueError unless it is one of those."""
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{what}: expected one of {', '.join(names)}, got {name!r}")
    return name


def product_kernels() -> str:
    """What multiplies float32 matrices: "packed" or "blas"."""
    return "packed" if own_products(False, OF_THE_PROCESS) != NULL else "blas"


def check_precision(precision) -> str:
    """The precision; raises ValueError unless it is "fp32" or "bf16"."""
    return name_of("precision", precision, PRECISIONS)


def choose_precision(wanted) -> str:
    """The precision wanted; for "auto" bf16 where the instruction set in use multiplies bfloat16 itself, else fp32.

    Raises ValueError for anything else.
    """
    if isinstance(wanted, str) and wanted == "auto":
        return "bf16" if tables.bf16_is_fast else "fp32"
    if not isinstance(wanted, str) or wanted not in PRECISIONS:
        raise ValueError(f"precision: expected auto or one of {', '.join(PRECISIONS)}, got {wanted!r}")
    return wanted


cdef int product_choice(int choice) noexcept nogil:
    return chosen if choice == OF_THE_PROCESS else choice


cdef const textgru_products* own_products(bint bf16, int choice) noexcept nogil:
    choice = product_choice(choice)
    if bf16:
        return &tables.products_bf16
    if choice == PACKED or (choice == AUTO and tables.wide):
        return &tables.products_f32
    return NULL


def _choose_at_import():
    wanted = os.environ.get("TEXTGRU_PRODUCTS", "")
    if wanted:
        try:
            set_product_kernels(wanted)
        except ValueError as error:
            warnings.warn(f"TEXTGRU_PRODUCTS: {error}; using auto", RuntimeWarning)


_choose_at_import()
