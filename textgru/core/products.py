"""Matrix products: at which precision, by which kernels; and the BLAS that was built in."""

from textgru.core._products.blas import blas_version
from textgru.core._products.choice import (
    PRECISIONS,
    PRODUCT_KERNELS,
    check_precision,
    choose_precision,
    product_kernels,
    set_product_kernels,
)
from textgru.core._products.products import Products

__all__ = [
    "PRECISIONS",
    "PRODUCT_KERNELS",
    "Products",
    "blas_version",
    "check_precision",
    "choose_precision",
    "product_kernels",
    "set_product_kernels",
]
