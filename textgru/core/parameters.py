"""Named arrays that are views into one flat array, and the layers that own or share them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

import numpy as np

from textgru.core import aligned
from textgru.core.checks import check_array
from textgru.core.products import Products

ALIGNMENT = 16  # elements: views start at a cache line in float32


class Parameters:
    """Arrays by name, all views into the flat array `values`, and their gradients, views into `gradients`.

    The gaps that align the views stay zero in both. Names may share one array (`ties`: name -> the name it shares).
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, *, ties: Mapping[str, str] | None = None
    ) -> None:
        self.ties = dict(ties or {})
        self.slices: dict[str, slice] = {}
        end = 0
        for name, shape in shapes.items():
            if name not in self.ties:
                self.slices[name] = slice(end, end + prod(shape))
                end += -(-prod(shape) // ALIGNMENT) * ALIGNMENT
        self.shapes = dict(shapes)
        self.values = aligned.zeros(end, dtype)
        self.gradients = aligned.zeros(end, dtype)

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> view into `flat` (n,), an array laid out as `values`; names may share an array."""
        views = {name: flat[where].reshape(self.shapes[name]) for name, where in self.slices.items()}
        for name, shared in self.ties.items():
            if self.shapes[name] != self.shapes[shared]:
                raise ValueError(f"{name} {self.shapes[name]} cannot share {shared} {self.shapes[shared]}")
            views[name] = views[shared]
        return views

    @property
    def count(self) -> int:
        """The number of parameters, shared ones once."""
        return sum(prod(self.shapes[name]) for name in self.slices)


class Layer:
    """What has parameters. `parameters` and `gradients` map a name to an array, writable in place."""

    dtype: np.dtype
    parameters: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]

    @property
    def precision(self) -> str:
        """That of the products of a training pass, forward and backward: "fp32", or "bf16", which rounds their inputs
        to bfloat16 and adds up in float32. Parameters, gradients and everything else stay float32; a pass with
        training=False multiplies in float32."""
        return self._training_products.precision

    def use_products(self, training: Products, inference: Products) -> None:
        """Multiply with these from now on, which may be shared with other layers.

        Raises TypeError for products in bf16 of float64 parameters.
        """
        if self.dtype != np.float32 and training.precision != "fp32":
            raise TypeError(f"precision: {training.precision} needs float32 parameters, these are {self.dtype}")
        self._training_products, self._inference_products = training, inference

    def _products(self, training: bool) -> Products:
        return self._training_products if training else self._inference_products

    def _allocate(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, precision: str = "fp32") -> None:
        self.dtype = dtype
        self.use_products(Products(precision), Products())
        own = Parameters(shapes, dtype)
        self._bind(own.views(own.values), own.views(own.gradients))

    def _bind(self, parameters: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray]) -> None:
        self.parameters = MappingProxyType(dict(parameters))
        self.gradients = MappingProxyType(dict(gradients))

    def _initialise(self, rng: np.random.Generator, bound: float) -> None:
        """Every parameter uniform in [-bound, bound), drawn in float64 so that both dtypes get the same numbers."""
        for array in self.parameters.values():
            array[...] = rng.uniform(-bound, bound, array.shape)

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies `arrays` (the same names, shapes and dtype) into the parameters; raises before changing anything.

        Raises KeyError where names are missing or unknown, TypeError or ValueError where an array doesn't fit.
        """
        if arrays.keys() != self.parameters.keys():
            raise KeyError(f"expected the parameters {sorted(self.parameters)}, got {sorted(arrays)}")
        for name, array in arrays.items():
            check_array(name, array, self.dtype, self.parameters[name].shape)
        for name, array in arrays.items():
            self.parameters[name][...] = array


def flatten(layers: Mapping[str, Layer], *, ties: Mapping[str, str] | None = None) -> Parameters:
    """Moves the parameters of all layers, and their gradients, into one flat array each; values are kept.

    A parameter is then called "layer.parameter". Where `ties` says that one shares another's array, the other's
    values win. Raises TypeError if the layers differ in dtype.
    """
    dtypes = {layer.dtype for layer in layers.values()}
    if len(dtypes) != 1:
        raise TypeError(f"layers: expected one dtype, got {sorted(map(str, dtypes))}")
    shapes = {f"{key}.{name}": array.shape for key, layer in layers.items() for name, array in layer.parameters.items()}
    flat = Parameters(shapes, dtypes.pop(), ties=ties)
    values, gradients = flat.views(flat.values), flat.views(flat.gradients)
    for key, layer in layers.items():
        for name, array in layer.parameters.items():
            if f"{key}.{name}" not in flat.ties:
                values[f"{key}.{name}"][...] = array
        layer._bind(
            {name: values[f"{key}.{name}"] for name in layer.parameters},
            {name: gradients[f"{key}.{name}"] for name in layer.parameters},
        )
    return flat
