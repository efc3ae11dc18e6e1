"""How many threads the core uses, and when sharing work among them pays."""

import os
from time import perf_counter

from cython.parallel cimport parallel
from libc.string cimport memset

from textgru.core._support.team cimport TEAM_MOST, team, team_begin, team_wait

from textgru.core._support.checks import check_integer
from textgru.core._support.machine import available_cpus

cdef extern from *:
    """
    #ifdef _OPENMP
    #define TEXTGRU_OPENMP 1
    #else
    #define TEXTGRU_OPENMP 0
    #endif
    """
    const int TEXTGRU_OPENMP

cdef extern from "contention.h" nogil:
    const double CONTENTION_LOOK
    ctypedef struct contention:
        double looked
        int limit
    int contention_threads(contention* c, double now, long losses, int count, int cpus)
    double contention_now()
    long contention_losses()

# Below this many multiply-adds a parallel region costs more than it saves (a region takes about 5 microseconds).
cdef double SMALLEST_SHARED_WORK = 4e5

cdef int count = 1

# Fewer are used for a while where others want the CPUs, unless they are not to give way.
cdef contention seen
cdef int cpus = 1
cdef bint gives_way = True

# Whether this process has had several threads, and whether it is the child of one that had: OpenMP's are not in the
# child, which would wait for them for ever.
cdef bint shared = False
cdef bint forked = False


cdef int thread_count() noexcept nogil:
    cdef double now
    cdef int all_threads = fixed_thread_count()
    if all_threads == 1 or not gives_way:
        return all_threads
    now = contention_now()
    if not 0 <= now - seen.looked < CONTENTION_LOOK:
        contention_threads(&seen, now, contention_losses(), all_threads, cpus)
    return min(seen.limit, all_threads) if seen.limit else all_threads


cdef int fixed_thread_count() noexcept nogil:
    global shared
    if count > 1:
        shared = True
    return count


cdef int threads_for(double operations) noexcept nogil:
    """The number of threads worth using for work of this many multiply-adds."""
    return thread_count() if operations >= SMALLEST_SHARED_WORK else 1


cdef int fixed_threads_for(double operations) noexcept nogil:
    """The same where the result depends on it in its last bits: whatever others want."""
    return fixed_thread_count() if operations >= SMALLEST_SHARED_WORK else 1


def give_way(yes) -> bool:
    """Whether fewer threads are used while others want the CPUs; returns whether it was so before."""
    global gives_way
    before, gives_way = gives_way, bool(yes)
    return before


def threads_beside(looks, count, cpus) -> list:
    """How many of `count` threads are used on `cpus` CPUs from each of the looks on: (seconds, how often the process
    had lost a CPU by then)."""
    cdef contention one
    memset(&one, 0, sizeof(contention))
    return [contention_threads(&one, now, losses, count, cpus) for now, losses in looks]


def _after_fork_in_child():
    global count, forked
    if shared or forked:
        count, forked = 1, True


def has_openmp() -> bool:
    """Whether the core was built with OpenMP; without it everything runs on one thread."""
    return bool(TEXTGRU_OPENMP)


def set_num_threads(threads) -> None:
    """Use this many threads from now on, in the whole process; fewer for a while where others want the CPUs, as long
    as the results are the same to the bit.

    Raises TypeError unless it is an integer, ValueError unless it is from 1 to 1024. Without OpenMP the count stays 1;
    so it does in a child that was forked after several threads had run in its parent.
    """
    global count, cpus
    threads = check_integer("threads", threads, 1, 1024)
    count, cpus = threads if TEXTGRU_OPENMP and not forked else 1, available_cpus()
    memset(&seen, 0, sizeof(contention))


def get_num_threads() -> int:
    """The number of threads in use; at import OMP_NUM_THREADS, or the CPUs that this process may use."""
    return count


def wait_seconds(regions=50, times=2000) -> float:
    """How long all threads take to wait for one another once, as they do at each token that they sample together.

    The fastest of `regions` parallel regions, in each of which they wait `times` times. Two cores with a cache in
    common take about a tenth of a microsecond, two on different chips or chiplets several times as long: a figure
    without which measurements on several threads can't be compared. Raises TypeError or ValueError unless both are from
    1 to 10,000.
    """
    cdef team together
    cdef int threads = min(fixed_thread_count(), TEAM_MOST)
    cdef int waits = check_integer("times", times, 1, 10_000)
    regions = check_integer("regions", regions, 1, 10_000)
    fastest = float("inf")
    for _ in range(regions):
        team_begin(&together)
        begin = perf_counter()
        with nogil, parallel(num_threads=threads):
            _wait(&together, waits)
        fastest = min(fastest, (perf_counter() - begin) / waits)
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
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
