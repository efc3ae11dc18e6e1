"""Arrays that start at a cache line."""

import numpy as np
import pytest

from textgru.core import Parameters
from textgru.core._products.packing import pack, pack_bf16, pack_int8
from textgru.core._support import aligned
from textgru.core._support.workspace import Workspace


@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64])
@pytest.mark.parametrize("shape", [0, 1, 17, (3, 65), (1000, 1000)])
def test_they_are_what_they_say(shape, dtype):
    ones = np.ones(shape, dtype)[..., ::-1]
    for array, filled in (
        (aligned.empty(shape, dtype), None),
        (aligned.zeros(shape, dtype), 0),
        (aligned.copy(ones), 1),
    ):
        assert array.size == 0 or array.ctypes.data % 64 == 0
        assert array.shape == ones.shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        if filled is not None:
            assert (array == filled).all()
    assert not np.shares_memory(aligned.copy(ones), ones)


def test_what_the_kernels_read_most_is_aligned():
    parameters, matrix = Parameters({"w": (300, 7), "b": (5,)}, np.dtype(np.float32)), np.ones((70, 9), np.float32)
    views = parameters.views(parameters.values)
    arrays = [*views.values(), parameters.gradients, Workspace(np.dtype(np.float32)).get("x", 3, 5)]
    arrays += [pack(matrix), pack_bf16(matrix), *pack_int8(matrix)]
    assert [array.ctypes.data % 64 for array in arrays] == [0] * len(arrays)
