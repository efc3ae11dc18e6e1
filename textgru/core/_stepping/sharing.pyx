"""How many threads a session's calls use, and whether they share its rows or the units."""

from time import perf_counter

from textgru.core._stepping.weights cimport Weights
from textgru.core._support.team cimport TEAM_MOST
from textgru.core._support.threads cimport thread_count, threads_for

from textgru.core._support.checks import check_integer
from textgru.core._support.threads import wait_seconds

# Threads share the rows where each has this many, else the units: measured, python -m benchmarks.session_rows.
cdef Py_ssize_t fewest_rows_each = 4

# Up to LARGEST_ALONE bytes of weights are never shared by units, from SMALLEST_SHARED on always; between, where
# the time that it saves is more than that for waiting: after each layer and the output, WAITS times what a wait alone
# takes, for what the threads then read of one another. The time saved follows from BYTES_A_SECOND; four rows take twice
# that of one. How long a wait takes is measured again after some seconds: on a virtual machine it changes.
cdef Py_ssize_t LARGEST_ALONE = 50_000
cdef Py_ssize_t SMALLEST_SHARED = 2_000_000
cdef double BYTES_A_SECOND = 9e10
cdef double WAITS = 3
cdef double MEASURED_AGAIN = 0.25


def set_fewest_rows_each(rows) -> int:
    """From how many rows for each thread on threads share the rows, in the whole process, and how many it was before:
    for measuring."""
    global fewest_rows_each
    before, fewest_rows_each = fewest_rows_each, check_integer("rows", rows, 1, 2**31 - 1)
    return before


cdef class Sharing:
    """What a session knows of its threads: how long they take to wait for one another."""

    cdef int threads(
        self, const Weights* w, Py_ssize_t nbytes, Py_ssize_t rows, Py_ssize_t steps, bint* by_units,
    ) except -1:
        """How many threads to use for some steps of some rows, and whether they share the units. `nbytes`: of the
        weights that a token is multiplied with."""
        cdef int threads = <int>min(<Py_ssize_t>min(thread_count(), TEAM_MOST), rows // fewest_rows_each)
        by_units[0] = False
        if threads > 1:  # as if all weights were of four bytes: near enough
            return min(threads, threads_for(nbytes / 4.0 * rows * steps))
        threads = self._by_units(w, nbytes, rows)
        by_units[0] = threads > 1
        return threads

    cdef int _by_units(self, const Weights* w, Py_ssize_t nbytes, Py_ssize_t rows) except -1:
        cdef int threads = 1
        cdef double saved, now
        if nbytes > LARGEST_ALONE:
            threads = <int>min(<Py_ssize_t>min(thread_count(), TEAM_MOST), w.blocks)
        if threads > 1 and nbytes < SMALLEST_SHARED:
            now = perf_counter()
            if self.measured == 0 or now > self.measured + MEASURED_AGAIN:
                self.wait, self.measured = wait_seconds(3, 50), now
            saved = nbytes * (1 - 1.0 / threads) / BYTES_A_SECOND * (rows + 2) / 3
            if saved < WAITS * self.wait * (w.L + 1):
                threads = 1
        return threads
