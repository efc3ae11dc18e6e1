from cython cimport floating

# What the machinery knows of a recurrent cell: see cell.pyx.
cdef class Cell:
    cdef readonly str name
    cdef readonly tuple gates
    cdef readonly tuple states
    cdef readonly int kept
    cdef readonly int recurrent_from
    cdef readonly int input_roll
    cdef int kernel       # its row kernels' place in the tables
    cdef int gate_count
    cdef int state_count
