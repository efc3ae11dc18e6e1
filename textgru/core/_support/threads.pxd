cdef int thread_count() noexcept nogil
cdef int threads_for(double operations) noexcept nogil
cdef int fixed_thread_count() noexcept nogil
cdef int fixed_threads_for(double operations) noexcept nogil
