/* The threads of the parallel region that is running, for work in which they wait for one another at every step. Each
 * says in a cache line of its own how far it is, and reads the others' lines: a wait takes as long as one line takes
 * from one CPU to another. Where there are more threads than CPUs, a thread that has waited for long lets others run. */
#ifndef TEXTGRU_TEAM_H
#define TEXTGRU_TEAM_H

#define TEAM_MOST 64 /* threads */

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

typedef struct {
    struct {
        _Alignas(64) atomic_uint phase;
    } at[TEAM_MOST];
} team;

static inline void team_begin(team *t)
{
    for (int i = 0; i < TEAM_MOST; i++)
        atomic_init(&t->at[i].phase, 0);
}

static inline int team_size(void) { return omp_get_num_threads(); }
static inline int team_rank(void) { return omp_get_thread_num(); }

static inline void team_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Tells the others that this thread is here. Between this and team_await it may do what concerns no other. */
static inline void team_arrive(team *t)
{
    atomic_uint *mine = &t->at[team_rank()].phase;
    atomic_store_explicit(mine, atomic_load_explicit(mine, memory_order_relaxed) + 1, memory_order_release);
}

/* Waits until all threads have arrived as often as this one. */
static inline void team_await(team *t)
{
    const int size = team_size(), rank = team_rank();
    const unsigned phase = atomic_load_explicit(&t->at[rank].phase, memory_order_relaxed);
    for (int i = 0; i < size; i++) {
        /* The other may be a step ahead; the difference is taken so that the count may start anew at 2^32. */
        for (int spins = 0; (int)(atomic_load_explicit(&t->at[i].phase, memory_order_acquire) - phase) < 0; spins++) {
            if (spins < 64)
                continue;
            if (spins < 256)
                team_pause();
            else
                sched_yield();
        }
    }
}

/* All threads of the region have to come here before one goes on. */
static inline void team_wait(team *t)
{
    team_arrive(t);
    team_await(t);
}

/* The same for regions of any number of threads, in which no team has been begun. */
static inline void team_barrier(void)
{
    _Pragma("omp barrier")
}

#else

typedef struct {
    int unused;
} team;
static inline void team_begin(team *t) { t->unused = 0; }
static inline int team_size(void) { return 1; }
static inline int team_rank(void) { return 0; }
static inline void team_arrive(team *t) { (void)t; }
static inline void team_await(team *t) { (void)t; }
static inline void team_wait(team *t) { (void)t; }
static inline void team_barrier(void) {}

#endif

#endif
