"""AdamW and gradient clipping on flat parameter arrays."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport pow

from textgru.core._support.threads cimport threads_for
from textgru.core._support.typed_kernels cimport adamw_row, lerp_row, sum_squares

from textgru.core._support import aligned
from textgru.core._support.checks import (
    check_apart, check_array, check_floats, check_integer, check_number, check_output, sizes
)
from textgru.core._support.fixed import Fixed
from textgru.core.parameters import ALIGNMENT, check_parameters

# Elements that a thread takes at a time. Sums are made block by block, then over the blocks in order: the same bits
# for any thread count.
cdef Py_ssize_t BLOCK = 16384

# The smallest normal number of a dtype, by the bytes of an element.
SMALLEST = {4: float(np.finfo(np.float32).tiny), 8: float(np.finfo(np.float64).tiny)}

# Elements of a cache line in float32, which parameters begin at.
cdef Py_ssize_t LINE = ALIGNMENT


def _block_sums(const floating[::1] x, double[::1] sums):
    cdef Py_ssize_t n = x.shape[0]
    cdef Py_ssize_t blocks = sums.shape[0]
    cdef int threads = threads_for(4.0 * n)
    cdef Py_ssize_t block, size
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        size = min(BLOCK, n - block * BLOCK)
        sums[block] = sum_squares(size, &x[block * BLOCK])


def gradient_norm(parameters) -> float:
    """The Euclidean norm of all gradients of a textgru.core.Parameters together. Raises TypeError for anything else."""
    check_parameters(parameters)
    sums = np.empty(-(-parameters.gradients.size // BLOCK))
    _block_sums(parameters.gradients, sums)
    return float(np.sqrt(sums.sum()))


def clip_grad_norm(parameters, max_norm) -> float:
    """Scales all gradients of a textgru.core.Parameters so that their norm is at most max_norm.

    Returns the norm before (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1). A norm that is not finite leaves them.
    Raises ValueError unless max_norm is finite and above 0, TypeError for what is no number or no Parameters.
    """
    max_norm = check_number("max_norm", max_norm, above=0.0)
    norm = gradient_norm(parameters)
    if max_norm < norm < float("inf"):
        np.multiply(
            parameters.gradients, parameters.gradients.dtype.type(max_norm / norm), out=parameters.gradients)
    return norm


class AdamW(Fixed):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2) on a textgru.core.Parameters.

    `lr`, `betas`, `eps` and `weight_decay` mean what they do in PyTorch's AdamW and may be set at any time; decay falls
    on matrices only, not on vectors (biases). The moments `exp_avg` and `exp_avg_sq` are flat arrays laid out as
    `parameters.values`. A copy, deep or by pickle, has moments of its own, and of a copy of the parameters. `names`:
    only these parameters; None: all of them.
    Raises ValueError for values outside their range (eps: from the dtype's smallest normal number up) and for names
    that aren't there, TypeError for values that are no numbers.
    """

    _fixed = frozenset({"parameters"})

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, *, names=None):
        check_parameters(parameters)
        names = list(parameters.slices if names is None else names)
        if unknown := [name for name in names if name not in parameters.slices]:
            raise ValueError(f"names: {unknown[0]!r} is none of the parameters")
        self.parameters = parameters
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.lr, self.betas, self.eps, self.weight_decay = self._settings(lr)
        self.exp_avg = aligned.zeros(parameters.values.shape, parameters.values.dtype)
        self.exp_avg_sq = aligned.zeros(parameters.values.shape, parameters.values.dtype)
        self.steps = 0
        where = [parameters.slices[name] for name in names]
        self._begins = np.array([one.start for one in where], np.intp)
        self._ends = np.array([one.stop for one in where], np.intp)
        self._matrices = np.array([float(len(parameters.shapes[name]) > 1) for name in names])

    def step(self, *, lr=None, gradient_scale=1.0) -> None:
        """One update from `parameters.gradients`, multiplied by gradient_scale first; `lr` replaces the one set.

        Raises ValueError or TypeError, before anything is changed, where a setting or one of the arrays doesn't fit.
        """
        rate, betas, eps, weight_decay = self._settings(self.lr if lr is None else lr)
        parameters = self.parameters
        check_parameters(parameters)
        values, gradients, dtype = parameters.values, parameters.gradients, parameters.values.dtype
        gradient_scale = check_number("gradient_scale", gradient_scale)
        steps = check_integer("steps", self.steps, 0, 2**53) + 1
        for name, array in (("exp_avg", self.exp_avg), ("exp_avg_sq", self.exp_avg_sq)):
            check_output(name, array, dtype, values.shape)
            check_apart(name, array, values=values, gradients=gradients)
        check_apart("exp_avg", self.exp_avg, exp_avg_sq=self.exp_avg_sq)
        self.lr, self.steps = rate, steps
        _adamw(
            gradient_scale, rate, betas[0], betas[1], eps, steps, self._begins, self._ends,
            weight_decay * self._matrices, gradients, self.exp_avg, self.exp_avg_sq, values)

    def _settings(self, lr):
        """lr, betas, eps and weight_decay, checked."""
        betas = self.betas
        lr = check_number("lr", lr, 0.0)
        if not isinstance(betas, (tuple, list)):
            raise TypeError(f"betas: expected two numbers with 0 <= beta < 1, got {betas!r}")
        if len(betas) != 2:
            raise ValueError(f"betas: expected two numbers with 0 <= beta < 1, got {betas!r}")
        betas = tuple([check_number("betas", beta, 0.0, 1.0) for beta in betas])
        # A smaller one is zero in the kernels, or too small to keep a division by zero in bounds.
        eps = check_number("eps", self.eps, SMALLEST[self.parameters.values.dtype.itemsize])
        return lr, betas, eps, check_number("weight_decay", self.weight_decay, 0.0)

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.exp_avg, self.exp_avg_sq = aligned.copy(self.exp_avg), aligned.copy(self.exp_avg_sq)


def _adamw(
    double gradient_scale, double lr, double beta1, double beta2, double eps, long steps,
    const Py_ssize_t[::1] begins, const Py_ssize_t[::1] ends, const double[::1] decays,
    const floating[::1] g, floating[::1] m, floating[::1] v, floating[::1] w,
):
    """Parameter after parameter, elements begins[i] to ends[i] with decays[i]."""
    cdef Py_ssize_t n = w.shape[0]
    cdef int threads = threads_for(4.0 * n)
    cdef double correction1 = 1 - pow(beta1, steps)
    cdef double correction2 = 1 - pow(beta2, steps)
    cdef Py_ssize_t i, begin, size
    cdef int shard
    for shard in prange(threads, num_threads=threads, schedule="static", chunksize=1, nogil=True):
        for i in range(ends.shape[0]):
            begin = max(n // LINE * shard // threads * LINE, begins[i])
            size = min(n // LINE * (shard + 1) // threads * LINE, ends[i]) - begin
            if size <= 0:
                continue
            adamw_row(
                size, gradient_scale, lr, beta1, beta2, eps, decays[i], correction1, correction2,
                &g[begin], &m[begin], &v[begin], &w[begin])


def lerp(y, x, weight) -> None:
    """y += weight * (x - y), both (n,): torch.lerp's linear interpolation.

    Raises ValueError for other sizes, arrays that share memory, or a weight that is not finite, TypeError for other
    types.
    """
    dtype = check_floats("y", y, sizes(y, "n"))
    check_output("y", y, dtype, y.shape)
    check_array("x", x, dtype, y.shape)
    check_apart("x", x, y=y)
    _lerp(y, x, check_number("weight", weight))


def _lerp(floating[::1] y, const floating[::1] x, double weight):
    cdef Py_ssize_t n = y.shape[0]
    cdef Py_ssize_t blocks = (n + BLOCK - 1) // BLOCK
    cdef int threads = threads_for(<double>n)
    cdef Py_ssize_t block, i, size
    for block in prange(blocks, num_threads=threads, schedule="static", nogil=True):
        i = block * BLOCK
        size = min(BLOCK, n - i)
        lerp_row(size, weight, &x[i], &y[i])
