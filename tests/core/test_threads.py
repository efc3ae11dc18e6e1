"""The thread count."""

import os
import subprocess
import sys

import pytest

from textgru.core import get_num_threads, set_num_threads, threads

needs_openmp = pytest.mark.skipif(not threads.has_openmp(), reason="this build has no OpenMP: one thread only")


@needs_openmp
def test_set_and_get():
    set_num_threads(3)
    assert get_num_threads() == 3


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (-1, ValueError), (5000, ValueError), ("2", TypeError)])
def test_bad_counts_are_refused(bad, error):
    before = get_num_threads()
    with pytest.raises(error, match="threads: expected"):
        set_num_threads(bad)
    assert get_num_threads() == before


@needs_openmp
@pytest.mark.parametrize(("setting", "wanted"), [("3", 3), ("4,2", 4), ("nonsense", threads.available_cpus())])
def test_environment_sets_the_default(setting, wanted):
    code = "from textgru.core import get_num_threads; print(get_num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": setting}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(result.stdout) == wanted


@pytest.mark.parametrize("count", [1, 2])
def test_threads_wait_for_one_another(count):
    set_num_threads(count)
    assert 0 < threads.wait_seconds() < 1e-3
