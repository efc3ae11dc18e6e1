"""What several test files share."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from textgru.core import get_num_threads, set_num_threads, simd
from textgru.core._support.threads import give_way
from textgru.core.products import set_product_kernels


@pytest.fixture(autouse=True)
def _same_settings_after():
    """Threads, instruction set and product kernels are settings of the process: a test's changes end with it."""
    threads, instruction_set = get_num_threads(), simd.instruction_set()
    yield
    set_num_threads(threads)
    simd.set_instruction_set(instruction_set)
    set_product_kernels("auto")


@pytest.fixture(scope="session", autouse=True)
def _as_many_threads_as_a_test_says():
    """Whatever else the machine is doing; and one where a test says nothing: several that share small work wait for one
    another most of the time where the machine is busy."""
    before, threads = give_way(False), get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(threads)
    give_way(before)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_all_tests(tmp_path_factory):
    """No test writes to the cache of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGRU_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TEXTGRU_CACHE_LIMIT", raising=False)
        yield


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    """Numbered folders in one of their own: pytest would look through those of all tests before it makes one more."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def cache(_caches, monkeypatch):
    """The folder of a test's own cache of encoded texts."""
    folder = next(_caches)
    folder.mkdir()
    monkeypatch.setenv("TEXTGRU_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def golden():
    """Name -> array, made with PyTorch by tests/data/make_golden.py."""
    with np.load(Path(__file__).parent / "data" / "golden.npz") as file:
        return dict(file)
