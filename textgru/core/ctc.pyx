"""Connectionist temporal classification: labels of a sequence without knowing when each of them is."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, NAN, exp, isfinite, isinf, log

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport boltzmann

from textgru.core._support.checks import (
    check_apart, check_array, check_flag, check_floats, check_index, check_integer, check_memory, check_number,
    check_output, own_index, sizes,
)

REDUCTIONS = ("mean", "sum", "none")


def ctc_loss(
    logits, targets, input_lengths=None, target_lengths=None, *, blank=0, reduction="mean", zero_infinity=False,
    dlogits=None, scale=1.0,
):
    """-log of the probability of each row's labels, over all their alignments with its steps (Graves et al. 2006).

    Softmax is part of it, as of `softmax_cross_entropy`: logits (T, B, V) float32 or float64, of V labels of which
    `blank` is none; log-probabilities are as good, as softmax leaves them as they are. targets (B, S) intp: labels
    other than blank; what stands beyond a row's length is not looked at. input_lengths (B,) intp, each 0..T, and
    target_lengths (B,) intp, each 0..S; None: all T, all S.

    `reduction` as PyTorch's ctc_loss has it: "none" returns the losses (B,) float64, in nats; "sum" their sum; "mean",
    the default, the mean over the batch of each divided by its number of labels (by 1 where it has none). Where
    `dlogits` (T, B, V) of the logits' dtype is given, it becomes the gradient of what is returned (of the sum, for
    "none"), times `scale`; it is 0 beyond a row's length.

    A row with too few steps for its labels (each takes one, and a blank between two equal ones) costs inf, and its
    gradient is NaN; with `zero_infinity` both are 0. Inside, everything is computed in float64. Raises TypeError,
    ValueError or IndexError on arrays that don't fit, or where `dlogits` shares memory with logits; MemoryError.
    """
    dtype = check_floats("logits", logits, ("T", "B", "V"))
    T, B, V = logits.shape
    blank = check_integer("blank", blank, 0, V - 1)
    zero_infinity = check_flag("zero_infinity", zero_infinity)
    scale = check_number("scale", scale)
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f'reduction: expected "mean", "sum" or "none", got {reduction!r:.80}')
    check_array("targets", targets, np.dtype(np.intp), (B, *sizes(targets, "batch", "S")[1:]))
    S = targets.shape[1]
    inputs = np.full(B, T) if input_lengths is None else own_index("input_lengths", input_lengths, (B,), T + 1)
    lengths = np.full(B, S) if target_lengths is None else own_index("target_lengths", target_lengths, (B,), S + 1)
    given = np.arange(S) < lengths[:, None]
    labels = np.where(given, targets, 0)
    check_index("targets", labels, labels.shape, V)
    if (given & (labels == blank)).any():
        raise ValueError(f"targets: expected labels other than the blank, {blank}; pass target_lengths where it pads")
    if dlogits is not None:
        check_output("dlogits", dlogits, dtype, logits.shape)
        check_apart("dlogits", dlogits, logits=logits)
    weights = scale / (np.maximum(lengths, 1) * B) if reduction == "mean" else np.full(B, scale)
    losses = np.empty(B)
    threads = min(threads_for(<double> T * B * (16.0 * V + 100.0 * S)), B)
    states, V_room = 2 * S + 1, V + -V % 16  # a cache line apart
    check_memory("logits, targets", threads * 8 * ((T + 2) * states + T))
    alphas = np.empty((threads, T + 2, states))
    norms = np.empty((threads, T))
    room = np.empty((threads, V_room), dtype)
    _ctc(logits, labels, inputs, lengths, blank, zero_infinity, weights, dlogits, alphas, norms, room, losses, threads)
    if reduction == "none":
        return losses
    return float((losses / np.maximum(lengths, 1)).mean() if reduction == "mean" else losses.sum())


cdef inline double add_logs(double a, double b) noexcept nogil:
    """log(exp(a) + exp(b))"""
    cdef double larger = a if a > b else b
    cdef double smaller = b if a > b else a
    if larger == -INFINITY:
        return larger
    return larger + log(1 + exp(smaller - larger))


cdef inline Py_ssize_t label(Py_ssize_t s, const Py_ssize_t* labels, Py_ssize_t blank) noexcept nogil:
    """The symbol of state s: blank, labels[0], blank, labels[1], ..., blank."""
    return labels[s // 2] if s % 2 else blank


cdef inline bint skips(Py_ssize_t s, const Py_ssize_t* labels) noexcept nogil:
    """Whether state s may follow state s - 2, without the blank between them."""
    return s >= 3 and s % 2 and labels[s // 2] != labels[s // 2 - 1]


cdef double forward(
    Py_ssize_t T, Py_ssize_t V, Py_ssize_t S, Py_ssize_t step, const floating* x, const Py_ssize_t* labels,
    Py_ssize_t blank, floating* d, floating* room, double* alpha, double* norm,
) noexcept nogil:
    """-log p(labels | x). OUT alpha (T, 2 S + 1): the log-probability of x[0..t] and of being in s at t; norm (T,):
    log sum exp x[t]; d (T, V), where it isn't NULL: softmax(x). x and d: steps `step` apart. room (V,)."""
    cdef Py_ssize_t t, s, k
    cdef Py_ssize_t L = 2 * S + 1
    cdef floating largest
    cdef const floating* x_t
    cdef floating* y
    cdef double* now
    cdef double* before
    cdef double total, a
    for t in range(T):
        x_t = x + t * step
        y = room if d == NULL else d + t * step
        total = boltzmann(V, x_t, 1, y)
        largest = x_t[0]
        for k in range(1, V):
            if x_t[k] > largest:
                largest = x_t[k]
        norm[t] = largest + log(total)
        if not isfinite(norm[t]):
            return NAN
        if d != NULL:
            for k in range(V):
                y[k] = <floating> (y[k] / total)
        now = alpha + t * L
        before = now - L
        for s in range(L):
            if t == 0:
                a = 0 if s < 2 else -INFINITY
            else:
                a = before[s]
                if s >= 1:
                    a = add_logs(a, before[s - 1])
                if skips(s, labels):
                    a = add_logs(a, before[s - 2])
            now[s] = a + (<double> x_t[label(s, labels, blank)] - norm[t])
    if T == 0:
        return INFINITY if S else 0
    now = alpha + (T - 1) * L
    return -(add_logs(now[L - 1], now[L - 2]) if S else now[0])


cdef void backward(
    Py_ssize_t T, Py_ssize_t S, Py_ssize_t step, const floating* x, const Py_ssize_t* labels, Py_ssize_t blank,
    double loss, const double* alpha, const double* norm, double* beta, floating* d,
) noexcept nogil:
    """d[t, k] -= the probability of being in a state of symbol k at t, given the labels. IN/OUT d: softmax(x).
    beta (2, 2 S + 1): room for the log-probability of x[t+1..] given state s at t."""
    cdef Py_ssize_t t, s
    cdef Py_ssize_t L = 2 * S + 1
    cdef double* now = beta
    cdef double* after = beta + L
    cdef double* swap
    cdef double b
    for t in range(T - 1, -1, -1):
        for s in range(L):
            if t == T - 1:
                b = 0 if s >= L - 2 else -INFINITY
            else:
                b = after[s]
                if s + 1 < L:
                    b = add_logs(b, after[s + 1])
                if s + 2 < L and skips(s + 2, labels):
                    b = add_logs(b, after[s + 2])
            now[s] = b
            d[t * step + label(s, labels, blank)] -= <floating> exp(alpha[t * L + s] + b + loss)
        for s in range(L):  # times the probability of x[t], for the step before
            now[s] += <double> x[t * step + label(s, labels, blank)] - norm[t]
        swap = now
        now = after
        after = swap


cdef double row(
    Py_ssize_t T, Py_ssize_t used, Py_ssize_t V, Py_ssize_t S, Py_ssize_t step, const floating* x,
    const Py_ssize_t* labels, Py_ssize_t blank, bint zero_infinity, double weight, floating* d, floating* room,
    double* alpha, double* norm,
) noexcept nogil:
    """The loss of a row of which the first `used` of T steps count. OUT d, where it isn't NULL: weight * gradient."""
    cdef Py_ssize_t t, k
    cdef double loss = forward(used, V, S, step, x, labels, blank, d, room, alpha, norm)
    cdef double factor = weight
    if d != NULL:
        if isfinite(loss):
            backward(used, S, step, x, labels, blank, loss, alpha, norm, alpha + T * (2 * S + 1), d)
        else:
            factor = 0 if isinf(loss) and zero_infinity else NAN
        for t in range(T):
            for k in range(V):
                if t >= used or factor == 0:
                    d[t * step + k] = 0
                else:
                    d[t * step + k] = <floating> (d[t * step + k] * factor)
    return 0 if isinf(loss) and zero_infinity else loss


def _ctc(
    const floating[:, :, ::1] logits, const Py_ssize_t[:, ::1] labels, const Py_ssize_t[::1] inputs,
    const Py_ssize_t[::1] lengths, Py_ssize_t blank, bint zero_infinity, const double[::1] weights, dlogits,
    double[:, :, ::1] alphas, double[:, ::1] norms, floating[:, ::1] room, double[::1] losses, int threads,
):
    cdef Py_ssize_t T = logits.shape[0]
    cdef Py_ssize_t B = logits.shape[1]
    cdef Py_ssize_t V = logits.shape[2]
    cdef Py_ssize_t S = labels.shape[1]
    cdef Py_ssize_t b
    cdef int thread
    cdef floating[:, :, ::1] dlogits_view
    cdef floating* d = NULL
    cdef const Py_ssize_t* first = &labels[0, 0] if S else NULL
    if dlogits is not None:
        dlogits_view = dlogits
        d = &dlogits_view[0, 0, 0]
    for b in prange(B, num_threads=threads, schedule="dynamic", nogil=True):
        thread = threadid()
        losses[b] = row(
            T, inputs[b], V, lengths[b], B * V, &logits[0, b, 0], first + b * S, blank, zero_infinity, weights[b],
            d + b * V if d != NULL else d, &room[thread, 0], &alphas[thread, 0, 0], &norms[thread, 0],
        )
