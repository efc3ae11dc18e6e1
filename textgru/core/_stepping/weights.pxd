"""A network's weights as they are stepped with: panels of 64 rows (textgru.core._products.packing).

V tokens, E the width of an embedding, L layers of H units of a cell with G gates; blocks: of 64 units, the last filled
up. What belongs to the gates of a layer stands block by block: the 64 units of the first gate, of the second, ...
"""

from libc.stdint cimport int32_t

# What weights are made of.
cdef enum:
    FP32, BF16, INT8, FP64

cdef struct Matrix:
    const char* packed        # the panels; NULL: no such matrix
    Py_ssize_t panel          # bytes of one
    Py_ssize_t n              # columns, of a row of weights
    const float* scale        # (panels, 64): of integers
    const int32_t* offset     # (panels, 64): of integers
    const void* bias          # (panels, 64)
    bint streams              # whether it stays in no near cache

cdef struct LayerWeights:
    Matrix ih                 # absent where the first layer has a table
    Matrix hh                 # without its bias
    const void* b_hh          # (blocks, G, 64)

cdef struct Weights:
    int kind
    int cell                  # its kernels' place in the tables
    Py_ssize_t V, E, L, H, G, K, S
    Py_ssize_t blocks         # of hidden units
    Py_ssize_t output_blocks  # of the vocabulary
    Py_ssize_t item           # bytes of a number: of states, scores and biases
    LayerWeights* layers
    Matrix output
    const void* table         # (V, blocks, G, 64): W_ih e + b_ih of the first layer; or NULL, and then
    const void* embedding     # (V, E)
