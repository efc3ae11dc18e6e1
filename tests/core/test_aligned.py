"""Arrays that start at a cache line."""

import numpy as np
import pytest

from textgru.core import aligned


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
