cdef int thread_count() noexcept nogil
cdef int threads_for(double operations) noexcept nogil
