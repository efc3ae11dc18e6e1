"""Embedding and Linear: what stands before and after a recurrent stack."""

from __future__ import annotations

import numpy as np

from textgru.core._support.checks import (
    check_apart,
    check_array,
    check_flag,
    check_memory,
    check_output,
    check_seed,
    check_size,
    float_dtype,
    leading,
    own_index,
)
from textgru.core._support.lookup import gather, scatter_add
from textgru.core._support.sums import column_sums
from textgru.core.parameters import Layer


class Embedding(Layer):
    """A table of vectors, one for each index: `weight` (num_embeddings, embedding_dim), normally distributed.

    `seed`: an int, a numpy.random.Generator, or None. Raises TypeError, ValueError or MemoryError for what can't be.
    """

    _fixed = Layer._fixed | {"num_embeddings", "embedding_dim"}
    _pass: np.ndarray | None  # the index

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.num_embeddings = check_size("num_embeddings", num_embeddings)
        self.embedding_dim = check_size("embedding_dim", embedding_dim)
        rng = check_seed(seed)
        size = self.num_embeddings * self.embedding_dim * float_dtype(dtype).itemsize
        check_memory("num_embeddings, embedding_dim", 2 * size)
        self._allocate({"weight": (self.num_embeddings, self.embedding_dim)}, float_dtype(dtype))
        weight = self.parameters["weight"]
        weight[...] = rng.standard_normal(weight.shape)

    def forward(self, index: np.ndarray) -> np.ndarray:
        """weight[index], (..., embedding_dim); index (...) intp.

        Raises TypeError, ValueError or IndexError on an index that doesn't fit.
        """
        shape = ("any",) * index.ndim if isinstance(index, np.ndarray) else ()
        index = own_index("index", index, shape, self.num_embeddings)
        rows = np.empty((index.size, self.embedding_dim), self.dtype)
        gather(self.parameters["weight"], index.reshape(-1), rows)
        self._pass = index
        return rows.reshape(*index.shape, self.embedding_dim)

    def backward(self, dy: np.ndarray, *, accumulate: bool = False) -> None:
        """Fills `gradients` from the gradient dy (..., embedding_dim) of the last forward's result.

        `accumulate` adds to them instead. Raises RuntimeError without a forward pass before it.
        """
        if self._pass is None:
            raise RuntimeError("backward: call forward first")
        check_array("dy", dy, self.dtype, (*self._pass.shape, self.embedding_dim))
        check_apart("dy", dy, gradients=self._flat.gradients)
        gradient = self.gradients["weight"]
        if not accumulate:
            gradient[...] = 0
        scatter_add(self._pass.reshape(-1), dy.reshape(-1, self.embedding_dim), gradient)


class Linear(Layer):
    """y = x W^T + b: `weight` (out_features, in_features), `bias` (out_features,), as in PyTorch.

    Both start uniform in +-1/sqrt(in_features). `seed`: an int, a numpy.random.Generator, or None.
    Raises TypeError, ValueError or MemoryError for what can't be.
    """

    _fixed = Layer._fixed | {"in_features", "out_features", "bias"}
    _pass: np.ndarray | None  # x

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        precision: str = "fp32",
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.in_features = check_size("in_features", in_features)
        self.out_features = check_size("out_features", out_features)
        self.bias = check_flag("bias", bias)
        rng = check_seed(seed)
        size = self.out_features * self.in_features * float_dtype(dtype).itemsize
        check_memory("in_features, out_features", 2 * size)
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        if self.bias:
            shapes["bias"] = (self.out_features,)
        self._allocate(shapes, float_dtype(dtype), precision)
        self._initialise(rng, self.in_features**-0.5)
        self._zeros = np.zeros(self.out_features, self.dtype)

    def forward(self, x: np.ndarray, *, training: bool = True, out: np.ndarray | None = None) -> np.ndarray:
        """x W^T + b, (..., out_features); x (..., in_features). `out`, where given, takes the result.

        `training=False` multiplies in float32 whatever the precision, and keeps nothing for a backward pass: that is
        still of the last forward pass for training. Of such a pass the array x is kept: leave it as it is until then.
        Raises TypeError or ValueError on arrays that don't fit, or where `out` shares memory with x or parameters.
        """
        check_array("x", x, self.dtype, (*leading(x), self.in_features))
        shape = (*x.shape[:-1], self.out_features)
        if out is None:
            out = np.empty(shape, self.dtype)
        else:
            check_output("out", out, self.dtype, shape)
            check_apart("out", out, x=x, parameters=self._flat.values, gradients=self._flat.gradients)
        bias = self.parameters["bias"] if self.bias else self._zeros
        self._products(training).multiply(
            x.reshape(-1, self.in_features), self.parameters["weight"].T, out.reshape(-1, self.out_features), bias=bias
        )
        if training:
            self._pass = x.view()  # x itself may be given another shape
        return out

    def backward(self, dy: np.ndarray, *, accumulate: bool = False, out: np.ndarray | None = None) -> np.ndarray:
        """The gradient dx (..., in_features) for the gradient dy (..., out_features) of the last forward's result.

        Fills `gradients`, or with `accumulate` adds to them. `out`, where given, takes dx.
        Raises RuntimeError without a forward pass for training before it, TypeError or ValueError on arrays that don't
        fit or share memory: `out` with dy, x, parameters or gradients, dy or x with gradients.
        """
        if self._pass is None:
            raise RuntimeError("backward: call forward first, with training=True")
        x = self._pass
        check_array("dy", dy, self.dtype, (*x.shape[:-1], self.out_features))
        check_apart("gradients", self._flat.gradients, dy=dy, x=x)
        if out is None:
            out = np.empty(x.shape, self.dtype)
        else:
            check_output("out", out, self.dtype, x.shape)
            check_apart("out", out, dy=dy, x=x, parameters=self._flat.values, gradients=self._flat.gradients)
        dy = dy.reshape(-1, self.out_features)
        products = self._products(True)
        products.multiply(dy.T, x.reshape(-1, self.in_features), self.gradients["weight"], accumulate=accumulate)
        if self.bias:
            column_sums(dy, self.gradients["bias"], accumulate)
        products.multiply(dy, self.parameters["weight"], out.reshape(-1, self.in_features))
        return out
