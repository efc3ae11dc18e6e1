"""Softmax and cross-entropy in one pass."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memset

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport cross_entropy

from textgru.core._support.checks import (
    check_apart, check_array, check_floats, check_index, check_integer, check_number, check_output,
)


def softmax_cross_entropy(logits, targets, *, dlogits=None, scale=1.0, ignore_index=-100):
    """The negative log-likelihood of each target, in nats, and optionally the gradient with respect to the logits.

    logits (N, V) float32 or float64, targets (N,) intp. Returns losses (N,) float64. Where `dlogits` (N, V) of the
    logits' dtype is given, it becomes scale * (softmax(logits) - onehot(targets)): pass scale=1/N for the gradient of
    the mean. Targets that are `ignore_index` (-100 as in PyTorch; any label will do) cost 0 and have a gradient of 0:
    the mean over the others is losses.sum() / (targets != ignore_index).sum(). `dlogits` may share memory with none of
    the others. Raises TypeError, ValueError or IndexError on arrays that don't fit, and for a scale that is not finite.
    """
    dtype = check_floats("logits", logits, ("N", "V"))
    check_array("targets", targets, np.dtype(np.intp), (logits.shape[0],))
    own = np.array(targets)  # that nobody else can change
    ignored = own == check_integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)
    own[ignored] = 0
    check_index("targets", own, own.shape, logits.shape[1])
    own[ignored] = -1
    scale = check_number("scale", scale)
    if dlogits is not None:
        check_output("dlogits", dlogits, dtype, logits.shape)
        check_apart("dlogits", dlogits, logits=logits)
    losses = np.empty(logits.shape[0])
    _cross_entropy(logits, own, losses, dlogits, scale)
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
        if targets[i] >= 0:
            losses[i] = cross_entropy(V, &logits[i, 0], targets[i], scale, d + i * V if d != NULL else d)
        else:
            losses[i] = 0
            if d != NULL:
                memset(d + i * V, 0, V * sizeof(floating))
