/* Put under a world's process by LD_PRELOAD: chance and the host's wall clock, as libraries ask for them past the world's own seams, are
 * the same in every run. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static uint64_t mixed(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* A world that hangs ends, so that the run can say so. */
__attribute__((constructor)) static void end_in_time(void) { alarm(600); }

/* Each thread draws its own numbers, whatever other threads do. */
static __thread uint64_t drawn;

ssize_t getrandom(void *into, size_t length, unsigned int flags) {
    (void)flags;
    for (size_t i = 0; i < length; i++) ((unsigned char *)into)[i] = (unsigned char)mixed(drawn++);
    return (ssize_t)length;
}

int getentropy(void *into, size_t length) {
    getrandom(into, length, 0);
    return 0;
}

int clock_gettime(clockid_t which, struct timespec *into) {
    if (which == CLOCK_REALTIME) {
        into->tv_sec = 1793021400; /* 2026-10-26T13:30:00Z */
        into->tv_nsec = 0;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, which, into);
}
