/* A cable with a delay, between two network devices that it makes: every frame that goes into one comes out of the
 * other so many microseconds later, in its order.
 *
 *     delay_line FIRST SECOND MICROSECONDS
 *
 * Says "ready" on standard output once there are devices of these names, which can then be moved to other network
 * namespaces. Ends when its standard input ends. Frames come as the kernel has them, up to 64 kB long before they are
 * cut for the wire (virtio_net_hdr tells how), so that a few processor cycles a byte are enough.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES = 4096, LONGEST = 66000, AT_A_TIME = 8 };

/* One direction: the frames under way. */
struct line {
    int from, to;
    unsigned long read, written; /* frames, since the beginning */
    int64_t due[FRAMES];
    int length[FRAMES];
    char (*frame)[LONGEST];
};

static struct line lines[2];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int device(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int file = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (file < 0)
        fail("/dev/net/tun");
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(file, TUNSETIFF, &request) || ioctl(file, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4))
        fail(name);
    return file;
}

static void take(struct line *line, int64_t delay)
{
    for (int i = 0; i < AT_A_TIME && line->read - line->written < FRAMES; i++) {
        int at = line->read % FRAMES;
        line->length[at] = read(line->from, line->frame[at], LONGEST);
        if (line->length[at] <= 0)
            return;
        line->due[at] = now() + delay;
        line->read++;
    }
}

/* Writes what is due; returns the nanoseconds until there is more, or -1. */
static int64_t give(struct line *line)
{
    while (line->written < line->read) {
        int at = line->written % FRAMES;
        int64_t left = line->due[at] - now();
        if (left > 0)
            return left;
        if (write(line->to, line->frame[at], line->length[at]) < 0) { /* the other device isn't up: as a cable does */
        }
        line->written++;
    }
    return -1;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int first = device(arguments[1]), second = device(arguments[2]);
    int64_t delay = 1000LL * atol(arguments[3]);
    lines[0].from = lines[1].to = first;
    lines[1].from = lines[0].to = second;
    for (int i = 0; i < 2; i++)
        if (!(lines[i].frame = malloc((size_t)FRAMES * LONGEST)))
            fail("malloc");
    prctl(PR_SET_TIMERSLACK, 1UL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t wait = -1;
        for (int i = 0; i < 2; i++) {
            int64_t left = give(&lines[i]);
            if (left >= 0 && (wait < 0 || left < wait))
                wait = left;
        }
        struct pollfd files[3] = { { .fd = 0, .events = POLLIN } };
        for (int i = 0; i < 2; i++) {
            int room = lines[i].read - lines[i].written < FRAMES;
            files[i + 1] = (struct pollfd){ .fd = lines[i].from, .events = room ? POLLIN : 0 };
        }
        struct timespec time = { wait / 1000000000, wait % 1000000000 };
        if (ppoll(files, 3, wait < 0 ? NULL : &time, NULL) < 0)
            fail("ppoll");
        if (files[0].revents)
            return 0;
        for (int i = 0; i < 2; i++)
            if (files[i + 1].revents & POLLIN)
                take(&lines[i], delay);
    }
}
