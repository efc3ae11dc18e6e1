"""The thread count."""

import os
import subprocess
import sys

import numpy as np
import pytest

from textgru.core import get_num_threads, set_num_threads, threads
from textgru.core._support.threads import give_way, threads_beside

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


def looks(*losses, each=0.1, begin=10.0):
    """A look every tenth of a second; by each the process has lost a CPU so many times more."""
    return [(begin + each * i, int(total)) for i, total in enumerate(np.cumsum(losses))]


def test_all_threads_are_used_where_nobody_wants_the_cpus():
    assert threads_beside(looks(500, *[4] * 50), 2, 2) == [2] * 51
    assert threads_beside(looks(500, *[20] * 50), 16, 16) == [16] * 51


def test_fewer_are_used_beside_others_and_all_are_tried_again_and_again():
    used = threads_beside(looks(0, 4, 19, *[1, 1, 19] * 40), 2, 2)
    assert used[:3] == [2, 2, 1]
    assert used.count(1) > 0.8 * len(used), "the longer it lasts, the more seldom all are tried"
    assert used[20:].count(2) >= 2
    quiet = threads_beside(looks(0, 19, 19, *[1] * 100), 2, 2)
    assert quiet[-90:] == [2] * 90


def test_half_of_many_threads_then_fewer():
    assert threads_beside(looks(0, *[200] * 5), 16, 16) == [16, 8, 4, 2, 1, 1]


def test_more_threads_than_cpus_are_as_many_as_these():
    used = threads_beside(looks(0, 900, *[4] * 2, 900, 900, 4, 4), 64, 2)
    assert used[:4] == [64, 2, 2, 64]
    assert used[4:6] == [2, 1]
    assert threads_beside(looks(0, 900, 4, 4), 64, 64)[-1] in (32, 64)


def test_what_was_lost_while_nothing_was_computed_says_nothing():
    assert threads_beside([(10.0, 0), (12.0, 5000), (12.1, 5004)], 2, 2) == [2, 2, 2]


@needs_openmp
def test_a_setting_and_whether_to_give_way():
    assert give_way(True) is False, "as conftest has set it"
    assert give_way(False) is True
    set_num_threads(3)
    assert get_num_threads() == 3
