/* Threads that write what others read, with nothing but the team's waits between: for ThreadSanitizer, which knows the
 * order that C11 promises and not only that of this machine's CPU. tools/sanitize thread builds and runs it. */
#include "team.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 3, STEPS = 400 };

static team shared;
static long numbers[THREADS][16], wrong;
static _Thread_local int rank;

/* In place of OpenMP's: its library isn't built for ThreadSanitizer, which wouldn't see what its threads wait for. */
int omp_get_num_threads(void) { return THREADS; }
int omp_get_thread_num(void) { return rank; }

static void *work(void *mine)
{
    rank = (int)((long *)mine - &numbers[0][0]) / 16;
    long missed = 0;
    for (long step = 1; step <= STEPS; step++) {
        numbers[rank][0] = step;
        team_wait(&shared);
        for (int i = 0; i < THREADS; i++)
            missed += numbers[i][0] != step;
        team_arrive(&shared);
        numbers[rank][8] = step; /* between arriving and awaiting: what concerns no other */
        team_await(&shared);
    }
    __atomic_fetch_add(&wrong, missed, __ATOMIC_RELAXED);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    team_begin(&shared);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, numbers[i]))
            return 2;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("the team's waits: %ld numbers too old\n", wrong);
    return wrong != 0;
}
