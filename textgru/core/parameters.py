"""Named arrays that are views into one flat array, and the layers that own or share them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from textgru.core._products.products import Products
from textgru.core._support import aligned
from textgru.core._support.arrays import share_memory
from textgru.core._support.checks import check_array, check_integer, check_memory, float_dtype
from textgru.core._support.fixed import Fixed

ALIGNMENT = 16  # elements: views start at a cache line in float32


class Parameters(Fixed):
    """Arrays by name, all views into the flat array `values`, and their gradients, views into `gradients`.

    The gaps that align the views stay zero in both. Names may share one array (`ties`: name -> the name it shares).
    The two arrays can be written to (`values[...] = ...`), not replaced. A copy, deep or by pickle, has arrays of its
    own. Raises ValueError for shapes or ties that don't fit, MemoryError for more than the machine's memory.
    """

    _fixed = frozenset({"shapes", "ties", "slices", "values", "gradients"})

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: object, *, ties: Mapping[str, str] | None = None
    ) -> None:
        dtype, ties = float_dtype(dtype), dict(ties or {})
        for name, shared in ties.items():
            if name not in shapes or shared not in shapes or shared in ties:
                raise ValueError(f"ties: {name!r} can't share {shared!r}: expected two parameters, the second untied")
            if tuple(shapes[name]) != tuple(shapes[shared]):
                raise ValueError(f"ties: {name} {shapes[name]} cannot share {shared} {shapes[shared]}")
        slices: dict[str, slice] = {}
        end = 0
        for name, shape in shapes.items():
            for size in shape:
                check_integer(name, size, 0, 2**63)
            if name not in ties:
                slices[name] = slice(end, end + prod(shape))
                end += -(-prod(shape) // ALIGNMENT) * ALIGNMENT
        check_memory("parameters", 2 * end * dtype.itemsize)
        self.shapes = MappingProxyType({name: tuple(shape) for name, shape in shapes.items()})
        self.ties = MappingProxyType(ties)
        self.slices = MappingProxyType(slices)
        self.values = aligned.zeros(end, dtype)
        self.gradients = aligned.zeros(end, dtype)
        self._replaced = False

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> view into `flat` (n,), an array laid out as `values`; names may share an array."""
        if not isinstance(flat, np.ndarray) or flat.shape != self.values.shape:
            raise ValueError(f"flat: expected an array of shape {self.values.shape}, got {np.shape(flat)}")
        views = {name: flat[where].reshape(self.shapes[name]) for name, where in self.slices.items()}
        for name, shared in self.ties.items():
            views[name] = views[shared]
        return views

    def _instead(self, name: str) -> str:
        return f", layers have views into it; use {name}[...] = ..." if name in ("values", "gradients") else ""

    def __getstate__(self) -> dict[str, Any]:
        arrays = {"values": self.values, "gradients": self.gradients, "replaced": self._replaced}
        return {"shapes": dict(self.shapes), "ties": dict(self.ties), "dtype": self.values.dtype, **arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Parameters.__init__(self, state["shapes"], state["dtype"], ties=state["ties"])
        self.values[...], self.gradients[...] = state["values"], state["gradients"]
        self._replaced = state["replaced"]


def check_parameters(parameters: object) -> None:
    """Raises TypeError unless it is a Parameters, RuntimeError if its layers have their arrays elsewhere by now."""
    if not isinstance(parameters, Parameters):
        raise TypeError(f"parameters: expected a textgru.core.Parameters, got {type(parameters).__name__}")
    if parameters._replaced:
        raise RuntimeError("parameters: a layer of these was flattened again; use what flatten returned last")
    dtype, shape = parameters.values.dtype, (parameters.values.size,)
    check_array("parameters.values", parameters.values, dtype, shape)
    check_array("parameters.gradients", parameters.gradients, dtype, shape)


class Layer(Fixed):
    """What has parameters. `parameters` and `gradients` map a name to an array, writable in place.

    A copy, deep or by pickle, keeps parameters and gradients and has them for itself, but it forgets the last forward
    pass. Of a layer that was flattened with others the copy brings their flat array along: copied together (in one
    list, say) layers, their Parameters and an optimizer stay linked.
    """

    _fixed = frozenset({"dtype", "parameters", "gradients"})

    dtype: np.dtype
    parameters: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    _pass: Any = None  # what the backward pass needs of the last forward pass
    _flat: Parameters
    _names: dict[str, str]

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
        for name, products in (("training", training), ("inference", inference)):
            if not isinstance(products, Products):
                raise TypeError(
                    f"{name}: expected textgru.core._products.products.Products, got {type(products).__name__}"
                )
        if self.dtype != np.float32 and training.precision != "fp32":
            raise TypeError(f"precision: {training.precision} needs float32 parameters, these are {self.dtype}")
        self._training_products, self._inference_products = training, inference

    def _products(self, training: bool) -> Products:
        return self._training_products if training else self._inference_products

    def _allocate(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, precision: str = "fp32") -> None:
        self.dtype = dtype
        self.use_products(Products(precision), Products())
        self._bind(Parameters(shapes, dtype), {name: name for name in shapes})

    def _bind(self, flat: Parameters, names: dict[str, str]) -> None:
        """Takes its arrays from `flat`, where they are called names[name]."""
        self._flat, self._names = flat, names
        values, gradients = flat.views(flat.values), flat.views(flat.gradients)
        self.__dict__["parameters"] = MappingProxyType({name: values[there] for name, there in names.items()})
        self.__dict__["gradients"] = MappingProxyType({name: gradients[there] for name, there in names.items()})

    def _initialise(self, rng: np.random.Generator, bound: float) -> None:
        """Every parameter uniform in [-bound, bound), drawn in float64 so that both dtypes get the same numbers."""
        for array in self.parameters.values():
            array[...] = rng.uniform(-bound, bound, array.shape)

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copies `arrays` (the same names, shapes and dtype) into the parameters; raises before changing anything.

        Raises KeyError where names are missing or unknown, TypeError or ValueError where an array doesn't fit.
        """
        if not isinstance(arrays, Mapping):
            raise TypeError(f"arrays: expected a mapping of names to arrays, got {type(arrays).__name__}")
        if arrays.keys() != self.parameters.keys():
            raise KeyError(f"arrays: expected the parameters {sorted(self.parameters)}, got {sorted(map(str, arrays))}")
        checked = {}
        for name, array in arrays.items():
            check_array(name, array, self.dtype, self.parameters[name].shape)
            # Parts of its own parameters may be written over before they are read.
            checked[name] = array.copy() if share_memory(array, self._flat.values) else array
        for name, array in checked.items():
            self.parameters[name][...] = array

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("parameters", "gradients")}
        return state | {"_pass": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind(self._flat, self._names)


def flatten(layers: Mapping[str, Layer], *, ties: Mapping[str, str] | None = None) -> Parameters:
    """Moves the parameters of all layers, and their gradients, into one flat array each; values are kept.

    A parameter is then called "layer.parameter". Where `ties` says that one shares another's array, the other's
    values win. A layer that was flattened before leaves that Parameters, which can't be trained any more: AdamW and the
    other functions that take one raise RuntimeError. Raises TypeError if the layers differ in dtype, ValueError for
    none, for the same layer twice, or for ties that don't fit.
    """
    if not isinstance(layers, Mapping) or not all(isinstance(layer, Layer) for layer in layers.values()):
        raise TypeError("layers: expected a mapping of names to textgru.core layers")
    if not layers:
        raise ValueError("layers: expected at least one")
    seen: dict[int, str] = {}
    for key, layer in layers.items():
        if id(layer) in seen:
            raise ValueError(f"layers: {seen[id(layer)]!r} and {key!r} are the same layer")
        seen[id(layer)] = key
    dtypes = {layer.dtype for layer in layers.values()}
    if len(dtypes) != 1:
        raise TypeError(f"layers: expected one dtype, got {sorted(map(str, dtypes))}")
    shapes = {f"{key}.{name}": array.shape for key, layer in layers.items() for name, array in layer.parameters.items()}
    flat = Parameters(shapes, dtypes.pop(), ties=ties)
    values = flat.views(flat.values)
    for key, layer in layers.items():
        for name, array in layer.parameters.items():
            if f"{key}.{name}" not in flat.ties:
                values[f"{key}.{name}"][...] = array
    for key, layer in layers.items():
        layer._flat._replaced = True
        layer._bind(flat, {name: f"{key}.{name}" for name in layer.parameters})
    return flat
