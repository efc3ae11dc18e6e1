/* Whether other programs, or other threads of this one, want the CPUs that our threads are on. Threads that wait for one
 * another at every step lose far more by it than its share: where one has lost its CPU, all stand still for some
 * milliseconds. Fewer threads are faster then. It shows in how often threads lose their CPU: some 20 times a second
 * otherwise, 150 times and more beside a program that computes. */
#ifndef TEXTGRU_CONTENTION_H
#define TEXTGRU_CONTENTION_H

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <time.h>
#define TEXTGRU_SEES_CONTENTION 1
#else
#define TEXTGRU_SEES_CONTENTION 0
#endif

#define CONTENTION_LOOK 0.1       /* seconds from one look to the next */
#define CONTENTION_USUAL 60.0     /* losses of a CPU a second that are nothing, and as many more for each thread: */
#define CONTENTION_USUAL_EACH 30.0
#define CONTENTION_SHORTEST 0.2   /* seconds with fewer threads before all are tried again, twice as many each time */
#define CONTENTION_LONGEST 3.2

typedef struct {
    int begun, limit; /* limit: threads at most, 0 while all are used */
    double looked, until, pause;
    long losses;
} contention;

/* How many of `count` threads to use from `now` on (seconds), where the process has lost a CPU `losses` times so far and
 * may use `cpus`. */
static inline int contention_threads(contention *c, double now, long losses, int count, int cpus)
{
    const double elapsed = now - c->looked;
    if (!c->begun || elapsed < 0 || elapsed > 1) { /* it was idle */
        c->begun = 1;
    } else {
        const int used = c->limit ? c->limit : count;
        const double usual = CONTENTION_USUAL + CONTENTION_USUAL_EACH * used;
        const int wanted = (double)(losses - c->losses) > usual * elapsed;
        const int most = count < cpus ? count : cpus; /* more threads than CPUs are in each other's way */
        if (wanted && used > 1) {
            if (!c->limit) {
                c->pause = c->pause ? 2 * c->pause : CONTENTION_SHORTEST;
                c->pause = c->pause < CONTENTION_LONGEST ? c->pause : CONTENTION_LONGEST;
            }
            c->until = now + c->pause;
            c->limit = used > most ? most : (used + 1) / 2;
        } else if (c->limit && now >= c->until) {
            c->limit = count > cpus && c->limit < cpus ? cpus : 0;
        } else if (!c->limit && now >= c->until + 2 * c->pause) {
            c->pause = 0;
        }
    }
    c->looked = now, c->losses = losses;
    return c->limit && c->limit < count ? c->limit : count;
}

/* Now, in seconds. */
static inline double contention_now(void)
{
#if TEXTGRU_SEES_CONTENTION
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#else
    return 0;
#endif
}

/* How often the process has lost a CPU that it still wanted. */
static inline long contention_losses(void)
{
#if TEXTGRU_SEES_CONTENTION
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
#else
    return 0;
#endif
}

#endif
