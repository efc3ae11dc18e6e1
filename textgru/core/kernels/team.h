/* The threads of the parallel region that is running, for work in which they wait for one another. */
#ifndef TEXTGRU_TEAM_H
#define TEXTGRU_TEAM_H

#ifdef _OPENMP
#include <omp.h>
static inline int team_size(void) { return omp_get_num_threads(); }
static inline int team_rank(void) { return omp_get_thread_num(); }
static inline void team_wait(void)
{
#pragma omp barrier
}
#else
static inline int team_size(void) { return 1; }
static inline int team_rank(void) { return 0; }
static inline void team_wait(void) {}
#endif

#endif
