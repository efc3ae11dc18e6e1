"""Weights as 8-bit integers: each row of a matrix has a scale of its own, symmetric about zero."""

from textgru.core._products.quantization import dequantize_rows, quantize_rows

__all__ = ["dequantize_rows", "quantize_rows"]
