"""exp, sigmoid and tanh over the whole float range, on every instruction set that this CPU has."""

import os
import subprocess
import sys

import numpy as np
import pytest

from textgru.core import simd

LARGEST_ERROR = 3e-7  # relative, in float32
SMALLEST_NORMAL = np.finfo(np.float32).tiny

every_set = pytest.mark.parametrize("name", simd.supported_instruction_sets())


def exact(function, x):
    with np.errstate(over="ignore", under="ignore"):
        x = x.astype(np.float64)
        return {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[function](x)


def floats():
    """About 2 million float32 from all of the range: every 2048th bit pattern, and a fine grid around zero."""
    patterns = np.arange(0, 2**32, 2048, dtype=np.uint64).astype(np.uint32).view(np.float32)
    grid = np.linspace(-110, 110, 500_001, dtype=np.float32)
    return np.concatenate([patterns[np.isfinite(patterns)], grid])


@every_set
@pytest.mark.parametrize("function", ["exp", "sigmoid", "tanh"])
def test_relative_error(function, name):
    simd.set_instruction_set(name)
    x = floats()
    y = np.empty_like(x)
    getattr(simd, function)(x, y)
    wanted = exact(function, x)
    normal = (np.abs(wanted) >= SMALLEST_NORMAL) & (wanted <= np.finfo(np.float32).max)
    error = np.abs(y[normal] - wanted[normal]) / np.abs(wanted[normal])
    assert error.max() <= LARGEST_ERROR
    # Below the normal numbers: as near as the spacing of float32 there allows. Above the largest: infinite.
    tiny = np.abs(wanted) < SMALLEST_NORMAL
    assert np.abs(y[tiny] - wanted[tiny]).max(initial=0) <= SMALLEST_NORMAL
    assert np.isposinf(y[wanted > np.finfo(np.float32).max]).all()


@every_set
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturation_infinities_and_nan(dtype, name):
    simd.set_instruction_set(name)
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0] * 7, dtype)  # longer than any vector
    wanted = {"exp": [np.inf, 0, np.nan, 1, 1], "sigmoid": [1, 0, np.nan, 0.5, 0.5], "tanh": [1, -1, np.nan, 0, 0]}
    for function, values in wanted.items():
        y = np.empty_like(x)
        getattr(simd, function)(x, y)
        np.testing.assert_array_equal(y, np.array(values * 7, dtype), err_msg=function)


@pytest.mark.parametrize("n", [0, 1, 3, 17, 65])
def test_no_write_past_the_end(n):
    x, y = np.ones(n, np.float32), np.full(n + 1, 7, np.float32)
    simd.exp(x, y[:n])
    np.testing.assert_allclose(y[:n], np.e, rtol=1e-6)
    assert y[n] == 7


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="y: expected 3 elements, got 2"):
        simd.exp(np.zeros(3, np.float32), np.zeros(2, np.float32))


def in_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )


@every_set
def test_environment_forces_an_instruction_set(name):
    code = "from textgru.core import simd; print(simd.instruction_set())"
    assert in_new_process(code, TEXTGRU_SIMD=name).stdout.strip() == name


def test_unknown_instruction_set_warns_and_falls_back():
    result = in_new_process("from textgru.core import simd; print(simd.instruction_set())", TEXTGRU_SIMD="mmx")
    assert result.stdout.strip() == simd.supported_instruction_sets()[0]
    assert "TEXTGRU_SIMD: instruction set 'mmx' is not available here" in result.stderr
    with pytest.raises(ValueError, match="'mmx' is not available here"):
        simd.set_instruction_set("mmx")


def test_subnormal_numbers_survive_the_import():
    code = "import textgru.core, numpy; x = numpy.float32(1e-40); print(float(x * numpy.float32(0.5)) > 0)"
    assert in_new_process(code).stdout.strip() == "True"
