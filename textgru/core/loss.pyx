"""Softmax and cross-entropy in one pass."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport cross_entropy

from textgru.core._support.checks import check_apart, check_floats, check_number, check_output, own_index


def softmax_cross_entropy(logits, targets, *, dlogits=None, scale=1.0):
    """The negative log-likelihood of each target, in nats, and optionally the gradient with respect to the logits.

    logits (N, V) float32 or float64, targets (N,) intp. Returns losses (N,) float64. Where `dlogits` (N, V) of the
    logits' dtype is given, it becomes scale * (softmax(logits) - onehot(targets)): pass scale=1/N for the gradient of
    the mean. It may share memory with none of the others. Raises TypeError, ValueError or IndexError on arrays that
    don't fit, and for a scale that is not finite.
    """
    dtype = check_floats("logits", logits, ("N", "V"))
    targets = own_index("targets", targets, (logits.shape[0],), logits.shape[1])
    scale = check_number("scale", scale)
    if dlogits is not None:
        check_output("dlogits", dlogits, dtype, logits.shape)
        check_apart("dlogits", dlogits, logits=logits)
    losses = np.empty(logits.shape[0])
    _cross_entropy(logits, targets, losses, dlogits, scale)
    return losses


def _cross_entropy(
    const floating[:, ::1] logits, const Py_ssize_t[::1] targets, double[::1] losses, dlogits, double scale,
):
    cdef Py_ssize_t N = logits.shape[0]
    cdef Py_ssize_t V = logits.shape[1]
    cdef int threads = threads_for(8.0 * N * V)
    cdef Py_ssize_t i
    cdef floating[:, ::1] dlogits_view
    cdef floating* d = NULL
    if dlogits is not None:
        dlogits_view = dlogits
        d = &dlogits_view[0, 0]
    for i in prange(N, num_threads=threads, schedule="static", nogil=True):
        losses[i] = cross_entropy(V, &logits[i, 0], targets[i], scale, d + i * V if d != NULL else d)
