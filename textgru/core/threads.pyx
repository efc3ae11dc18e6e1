"""How many threads the core uses, and when sharing work among them pays."""

import os
from time import perf_counter

from cython.parallel cimport parallel

from textgru.core.team cimport TEAM_MOST, team, team_begin, team_wait

cdef extern from *:
    """
    #ifdef _OPENMP
    #define TEXTGRU_OPENMP 1
    #else
    #define TEXTGRU_OPENMP 0
    #endif
    """
    const int TEXTGRU_OPENMP

# Below this many multiply-adds a parallel region costs more than it saves (a region takes about 5 microseconds).
cdef double SMALLEST_SHARED_WORK = 4e5

cdef int count = 1


cdef int thread_count() noexcept nogil:
    return count


cdef int threads_for(double operations) noexcept nogil:
    """The threads worth using for work of so many multiply-adds."""
    return count if operations >= SMALLEST_SHARED_WORK else 1


def has_openmp() -> bool:
    """Whether the core was built with OpenMP; without it everything runs on one thread."""
    return bool(TEXTGRU_OPENMP)


def available_cpus() -> int:
    """The CPUs that this process may run on (its affinity, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(threads) -> None:
    """Use this many threads for training and evaluation from now on, in the whole process.

    Raises TypeError unless it is an integer, ValueError if it is below 1. Without OpenMP the count stays 1.
    """
    global count
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads: expected an integer, got {threads!r}")
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads: expected 1 to 1024, got {threads}")
    count = threads if TEXTGRU_OPENMP else 1


def get_num_threads() -> int:
    """The number of threads in use; at import OMP_NUM_THREADS, or the CPUs that this process may run on."""
    return count


def wait_seconds(int regions=50, int times=2000) -> float:
    """How long all threads take to wait for one another once, as they do at each token that they sample together.

    The fastest of some parallel regions, in each of which they wait so many times. Two cores with a cache in common
    take about a tenth of a microsecond, two on different chips or chiplets several times as long: a figure without
    which measurements on several threads can't be compared.
    """
    cdef team together
    cdef int threads = min(count, TEAM_MOST)
    fastest = float("inf")
    for _ in range(regions):
        team_begin(&together)
        begin = perf_counter()
        with nogil, parallel(num_threads=threads):
            _wait(&together, times)
        fastest = min(fastest, (perf_counter() - begin) / times)
    return fastest


cdef void _wait(team* together, int times) noexcept nogil:
    cdef int _time
    for _time in range(times):
        team_wait(together)


def _initial_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) >= 1:
        return min(int(wanted), 1024)
    return available_cpus()


set_num_threads(_initial_threads())
