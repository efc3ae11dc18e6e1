# Threads that wait for one another: kernels/team.h.
cdef extern from "team.h" nogil:
    ctypedef struct team:
        pass
    void team_begin(team* t)
    int team_size()
    int team_rank()
    void team_wait(team* t)
    void team_arrive(team* t)
    void team_await(team* t)
    void team_barrier()
    const int TEAM_MOST
