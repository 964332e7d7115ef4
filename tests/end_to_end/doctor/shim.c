// Faults of a machine that only it could have, planted below the C library.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// A file system without locks (NO_LOCKS=ENOLCK), or one whose locks are not seen by others (NO_LOCKS=LOCAL).
int flock(int file, int operation) {
    const char *fault = getenv("NO_LOCKS");
    if (fault && !strcmp(fault, "ENOLCK")) { errno = ENOLCK; return -1; }
    if (fault) return 0;
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(file, operation);
}

// The time of day of a rank, AHEAD seconds ahead, for the rank that AHEAD_RANK names.
int clock_gettime(clockid_t which, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, now);
    const char *ahead = getenv("AHEAD"), *whose = getenv("AHEAD_RANK"), *own = getenv("RANK");
    if (which == CLOCK_REALTIME && ahead && whose && own && !strcmp(whose, own)) now->tv_sec += atoi(ahead);
    return status;
}
