/* The threads of the parallel region that is running, for work in which they wait for one another at every step: a
 * wait of libgomp's takes about four times as long as this one. Where there are more threads than CPUs, a thread that
 * has waited for long lets others run. */
#ifndef TEXTGRU_TEAM_H
#define TEXTGRU_TEAM_H

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

typedef struct {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int phase;
} team;

static inline void team_begin(team *t)
{
    atomic_init(&t->arrived, 0);
    atomic_init(&t->phase, 0);
}

static inline int team_size(void) { return omp_get_num_threads(); }
static inline int team_rank(void) { return omp_get_thread_num(); }

static inline void team_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* All threads of the region have to come here before one goes on. */
static inline void team_wait(team *t)
{
    const int size = team_size();
    if (size == 1)
        return;
    const int phase = atomic_load_explicit(&t->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) == size - 1) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&t->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&t->phase, memory_order_acquire) == phase; spins++) {
        if (spins < 4000)
            team_pause();
        else
            sched_yield();
    }
}

#else

typedef struct {
    int unused;
} team;
static inline void team_begin(team *t) { t->unused = 0; }
static inline int team_size(void) { return 1; }
static inline int team_rank(void) { return 0; }
static inline void team_wait(team *t) { (void)t; }

#endif

#endif
