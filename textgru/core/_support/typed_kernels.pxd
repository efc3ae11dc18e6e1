"""The kernels of both element types under one name each: which table is taken follows from the pointers' type."""

from cython cimport floating
from libc.stdint cimport int32_t, uint64_t

from textgru.core._support.simd cimport kernels

# How many arrays the state of any cell has at most.
cdef enum:
    MOST_STATES = 2


cdef inline void add(Py_ssize_t n, const floating* x, floating* y) noexcept nogil:
    """y += x"""
    if floating is float:
        kernels.f32.add(n, x, y)
    else:
        kernels.f64.add(n, x, y)


cdef inline double sum_squares(Py_ssize_t n, const floating* x) noexcept nogil:
    if floating is float:
        return kernels.f32.sum_squares(n, x)
    else:
        return kernels.f64.sum_squares(n, x)


cdef inline void drop(Py_ssize_t n, uint64_t key, uint64_t start, double p, floating* x) noexcept nogil:
    """x *= 0 with probability p, else 1 / (1 - p)"""
    if floating is float:
        kernels.f32.dropout(n, key, start, p, x)
    else:
        kernels.f64.dropout(n, key, start, p, x)


cdef inline void lerp_row(Py_ssize_t n, double weight, const floating* x, floating* y) noexcept nogil:
    """y += weight * (x - y)"""
    if floating is float:
        kernels.f32.lerp(n, weight, x, y)
    else:
        kernels.f64.lerp(n, weight, x, y)


cdef inline void cell_forward(
    int cell, Py_ssize_t units, Py_ssize_t H, const floating* x, const floating* g, Py_ssize_t g_gate,
    const floating* b, floating** before, floating* kept, floating** after,
) noexcept nogil:
    if floating is float:
        kernels.f32.cells[cell].forward(units, H, x, g, g_gate, b, before, kept, after)
    else:
        kernels.f64.cells[cell].forward(units, H, x, g, g_gate, b, before, kept, after)


cdef inline void cell_backward(
    int cell, Py_ssize_t units, Py_ssize_t H, const floating* dy, floating** before, floating** after, floating* kept,
    floating** d,
) noexcept nogil:
    if floating is float:
        kernels.f32.cells[cell].backward(units, H, dy, before, after, kept, d)
    else:
        kernels.f64.cells[cell].backward(units, H, dy, before, after, kept, d)


cdef inline void gru_before_reset(
    Py_ssize_t H, const floating* x, const floating* g, const floating* b, const floating* h_prev, floating* gates,
) noexcept nogil:
    if floating is float:
        kernels.f32.gru_before_reset(H, H, x, g, b, h_prev, gates)
    else:
        kernels.f64.gru_before_reset(H, H, x, g, b, h_prev, gates)


cdef inline void gru_before_output(
    Py_ssize_t H, const floating* x, const floating* g, const floating* b, const floating* h_prev, floating* gates,
    floating* h,
) noexcept nogil:
    if floating is float:
        kernels.f32.gru_before_output(H, H, x, g, b, h_prev, gates, h)
    else:
        kernels.f64.gru_before_output(H, H, x, g, b, h_prev, gates, h)


cdef inline void gru_before_backward(
    Py_ssize_t H, const floating* dy, const floating* h_prev, floating* gates, floating* dh,
) noexcept nogil:
    if floating is float:
        kernels.f32.gru_before_backward(H, H, dy, h_prev, gates, dh)
    else:
        kernels.f64.gru_before_backward(H, H, dy, h_prev, gates, dh)


cdef inline void gru_before_backward_reset(
    Py_ssize_t H, const floating* drh, const floating* h_prev, floating* gates, floating* dh,
) noexcept nogil:
    if floating is float:
        kernels.f32.gru_before_backward_reset(H, H, drh, h_prev, gates, dh)
    else:
        kernels.f64.gru_before_backward_reset(H, H, drh, h_prev, gates, dh)


cdef inline double boltzmann(Py_ssize_t n, const floating* x, double scale, floating* y) noexcept nogil:
    """y = exp(scale * (x - max x)); their sum"""
    if floating is float:
        return kernels.f32.boltzmann(n, x, scale, y)
    else:
        return kernels.f64.boltzmann(n, x, scale, y)


cdef inline double boltzmann_below(
    Py_ssize_t n, const floating* x, floating largest, double scale, floating* y,
) noexcept nogil:
    if floating is float:
        return kernels.f32.boltzmann_below(n, x, largest, scale, y)
    else:
        return kernels.f64.boltzmann_below(n, x, largest, scale, y)


cdef inline double cross_entropy(
    Py_ssize_t n, const floating* x, Py_ssize_t target, double scale, floating* dx,
) noexcept nogil:
    if floating is float:
        return kernels.f32.cross_entropy(n, x, target, scale, dx)
    else:
        return kernels.f64.cross_entropy(n, x, target, scale, dx)


cdef inline void adamw_row(
    Py_ssize_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay, double correction1,
    double correction2, const floating* g, floating* m, floating* v, floating* w,
) noexcept nogil:
    if floating is float:
        kernels.f32.adamw(n, g_scale, lr, beta1, beta2, eps, decay, correction1, correction2, g, m, v, w)
    else:
        kernels.f64.adamw(n, g_scale, lr, beta1, beta2, eps, decay, correction1, correction2, g, m, v, w)


cdef inline floating largest(Py_ssize_t n, const floating* x) noexcept nogil:
    if floating is float:
        return kernels.f32.largest(n, x)
    else:
        return kernels.f64.largest(n, x)


cdef inline void mask(Py_ssize_t n, const floating* key, floating least, floating* x) noexcept nogil:
    """x = -infinity where key < least"""
    if floating is float:
        kernels.f32.mask(n, key, least, x)
    else:
        kernels.f64.mask(n, key, least, x)


cdef inline Py_ssize_t cut(
    Py_ssize_t n, const floating* key, const floating* weight, double target, floating guess, floating high,
    floating* k, floating* w, floating* least,
) noexcept nogil:
    if floating is float:
        return kernels.f32.cut(n, key, weight, target, guess, high, k, w, least)
    else:
        return kernels.f64.cut(n, key, weight, target, guess, high, k, w, least)


cdef inline Py_ssize_t collect(
    Py_ssize_t n, floating least, floating* key, floating* x, floating* weight, int32_t* index, bint numbered,
) noexcept nogil:
    if floating is float:
        return kernels.f32.collect(n, least, key, x, weight, index, numbered)
    else:
        return kernels.f64.collect(n, least, key, x, weight, index, numbered)


cdef inline void penalise(
    Py_ssize_t n, const int32_t* count, floating repetition, floating frequency, floating presence, floating* x,
) noexcept nogil:
    if floating is float:
        kernels.f32.penalise(n, count, repetition, frequency, presence, x)
    else:
        kernels.f64.penalise(n, count, repetition, frequency, presence, x)


cdef inline Py_ssize_t first_above(Py_ssize_t n, const floating* p, double target) noexcept nogil:
    if floating is float:
        return kernels.f32.first_above(n, p, target)
    else:
        return kernels.f64.first_above(n, p, target)


cdef inline double deviation(Py_ssize_t n, const floating* x) noexcept nogil:
    if floating is float:
        return kernels.f32.deviation(n, x)
    else:
        return kernels.f64.deviation(n, x)


cdef inline double entropy(
    Py_ssize_t n, const floating* x, floating largest, const floating* p, double total,
) noexcept nogil:
    if floating is float:
        return kernels.f32.entropy(n, x, largest, p, total)
    else:
        return kernels.f64.entropy(n, x, largest, p, total)


cdef inline void typicality(Py_ssize_t n, const floating* x, floating shift, floating* key) noexcept nogil:
    if floating is float:
        kernels.f32.typicality(n, x, shift, key)
    else:
        kernels.f64.typicality(n, x, shift, key)
