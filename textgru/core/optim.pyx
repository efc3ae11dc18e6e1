"""AdamW and gradient clipping on flat parameter arrays."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport pow

from textgru.core.simd cimport kernels
from textgru.core.threads cimport threads_for

from textgru.core import aligned
from textgru.core.parameters import ALIGNMENT

# Elements that a thread takes at a time. Sums are made block by block, then over the blocks in order: the same bits
# for any thread count.
cdef Py_ssize_t BLOCK = 16384

# Elements of a cache line in float32, which parameters begin at.
cdef Py_ssize_t LINE = ALIGNMENT


def _block_sums(const floating[::1] x, double[::1] sums):
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t blocks = sums.shape[0]
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t block, size
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        size = min(BLOCK, n - block * BLOCK)
        if floating is float:
            sums[block] = kernels.f32.sum_squares(size, &x[block * BLOCK])
        else:
            sums[block] = kernels.f64.sum_squares(size, &x[block * BLOCK])


def gradient_norm(parameters) -> float:
    """The Euclidean norm of all gradients of a textgru.core.Parameters together."""
    sums = np.empty(-(-parameters.gradients.size // BLOCK))
    _block_sums(parameters.gradients, sums)
    return float(np.sqrt(sums.sum()))


def clip_grad_norm(parameters, double max_norm) -> float:
    """Scales all gradients of a textgru.core.Parameters so that their norm is at most max_norm.

    Returns the norm before (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1). A norm that is not finite leaves them.
    Raises ValueError unless max_norm > 0.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm: expected more than 0, got {max_norm}")
    norm = gradient_norm(parameters)
    if max_norm < norm < float("inf"):
        parameters.gradients *= parameters.gradients.dtype.type(max_norm / norm)
    return norm


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2) on a textgru.core.Parameters.

    `lr`, `betas`, `eps` and `weight_decay` mean what they do in PyTorch's AdamW; decay falls on matrices only, not on
    vectors (biases). The moments `exp_avg` and `exp_avg_sq` are flat arrays laid out as `parameters.values`.
    Raises ValueError for values outside their range.
    """

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        if not lr >= 0:
            raise ValueError(f"lr: expected at least 0, got {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers with 0 <= beta < 1, got {betas}")
        if not eps > 0:
            raise ValueError(f"eps: expected more than 0, got {eps}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay: expected at least 0, got {weight_decay}")
        self.parameters = parameters
        self.lr = float(lr)
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = float(eps)
        self.weight_decay = float(weight_decay)
        self.exp_avg = aligned.zeros(parameters.values.shape, parameters.values.dtype)
        self.exp_avg_sq = aligned.zeros(parameters.values.shape, parameters.values.dtype)
        self.steps = 0
        self._ends = np.array([where.stop for where in parameters.slices.values()], np.intp)
        self._decays = np.array(
            [self.weight_decay if len(parameters.shapes[name]) > 1 else 0.0 for name in parameters.slices])

    def step(self, *, lr=None, gradient_scale=1.0) -> None:
        """One update from `parameters.gradients`, multiplied by gradient_scale first; `lr` replaces the one set."""
        if lr is not None:
            self.lr = float(lr)
        self.steps += 1
        _adamw(
            gradient_scale, self.lr, self.betas[0], self.betas[1], self.eps, self.steps, self._ends, self._decays,
            self.parameters.gradients, self.exp_avg, self.exp_avg_sq, self.parameters.values)


def _adamw(
    double gradient_scale, double lr, double beta1, double beta2, double eps, long steps,
    const Py_ssize_t[::1] ends, const double[::1] decays,
    const floating[::1] g, floating[::1] m, floating[::1] v, floating[::1] w,
):
    """Parameter after parameter, up to element ends[i] with decays[i]; the gaps before them are zeros and stay so."""
    cdef Py_ssize_t n = w.shape[0]
    cdef int threads = threads_for(4.0 * n)
    cdef double correction1 = 1 - pow(beta1, steps)
    cdef double correction2 = 1 - pow(beta2, steps)
    cdef Py_ssize_t i, begin, size
    cdef int shard
    for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1, nogil=True):
        for i in range(ends.shape[0]):
            begin = max(n // LINE * shard // threads * LINE, ends[i - 1] if i else 0)
            size = min(n // LINE * (shard + 1) // threads * LINE, ends[i]) - begin
            if size <= 0:
                continue
            if floating is float:
                kernels.f32.adamw(
                    size, gradient_scale, lr, beta1, beta2, eps, decays[i], correction1, correction2,
                    &g[begin], &m[begin], &v[begin], &w[begin])
            else:
                kernels.f64.adamw(
                    size, gradient_scale, lr, beta1, beta2, eps, decays[i], correction1, correction2,
                    &g[begin], &m[begin], &v[begin], &w[begin])


def lerp(floating[::1] y, const floating[::1] x, double weight) -> None:
    """y += weight * (x - y), both (n,): torch.lerp's linear interpolation. Raises ValueError for other sizes."""
    cdef Py_ssize_t n = y.shape[0]
    cdef Py_ssize_t blocks = (n + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(<double>n)
    cdef Py_ssize_t block, i, size
    if x.shape[0] != n:
        raise ValueError(f"x: expected {n} elements, got {x.shape[0]}")
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        i = block * BLOCK
        size = min(BLOCK, n - i)
        if floating is float:
            kernels.f32.lerp(size, weight, &x[i], &y[i])
        else:
            kernels.f64.lerp(size, weight, &x[i], &y[i])
