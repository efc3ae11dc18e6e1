cdef extern from "kernels.h":
    const int TEXTGRU_PACKED_ROWS

# The rows of as many blocks of TEXTGRU_PACKED_ROWS as hold `rows`.
cdef inline Py_ssize_t whole_blocks(Py_ssize_t rows) noexcept nogil:
    return (rows + TEXTGRU_PACKED_ROWS - 1) // TEXTGRU_PACKED_ROWS * TEXTGRU_PACKED_ROWS
