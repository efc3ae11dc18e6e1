"""The instruction sets: which were built, which this CPU can run, which is in use; and the vector functions."""

from textgru.core._support.simd import (
    bf16_is_fast,
    exp,
    instruction_set,
    int8_is_fast,
    set_instruction_set,
    sigmoid,
    supported_instruction_sets,
    tanh,
)

__all__ = [
    "bf16_is_fast",
    "exp",
    "instruction_set",
    "int8_is_fast",
    "set_instruction_set",
    "sigmoid",
    "supported_instruction_sets",
    "tanh",
]
