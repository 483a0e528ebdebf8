/* Preloaded into the command by the tests: counts every call that changes files below the named folders, in the order
 * of all threads together, and at the n-th of them kills the process or lets the call fail.
 *
 *   ZPB_FAULT_UNDER  folders, separated by ':'; only calls on paths below them count
 *   ZPB_FAULT_LOG    file that gets one line a call: "<number> <call> <path>"
 *   ZPB_FAULT_AT     number of the call that meets the fault; absent: none does
 *   ZPB_FAULT_DO     kill, kill-after, or the number of an errno
 *   ZPB_FAULT_STAYS  set: every later call fails as well
 *   ZPB_FAULT_CLOCK  seconds by which the clock of the day is wrong; the monotonic clock is left alone
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void folder_of(int fd, char *out) {
    char link[64];
    ssize_t length;
    if (fd == AT_FDCWD) {
        if (!getcwd(out, PATH_MAX))
            out[0] = 0;
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, out, PATH_MAX - 1);
    out[length > 0 ? length : 0] = 0;
}

static int counts(const char *path) {
    const char *under = getenv("ZPB_FAULT_UNDER");
    while (under && *under) {
        size_t length = strcspn(under, ":");
        if (length && !strncmp(path, under, length))
            return 1;
        under += length + (under[length] == ':');
    }
    return 0;
}

/* 0: go on; 1: go on, then die; -1: fail with errno set. */
static int meet(const char *call, int fd, const char *name) {
    char path[2 * PATH_MAX], line[2 * PATH_MAX + 64];
    const char *at = getenv("ZPB_FAULT_AT"), *act = getenv("ZPB_FAULT_DO"), *log = getenv("ZPB_FAULT_LOG");
    long number, wanted = at ? atol(at) : 0;
    int saved = errno;
    if (name && name[0] == '/') {
        snprintf(path, sizeof path, "%s", name);
    } else {
        folder_of(fd, path);
        if (name)
            snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", name);
    }
    errno = saved;
    if (!counts(path))
        return 0;
    number = atomic_fetch_add(&calls, 1) + 1;
    if (log) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path);
        if (file >= 0) {
            syscall(SYS_write, file, line, (size_t)length);
            close(file);
        }
    }
    errno = saved;
    if (!wanted || number < wanted || (number > wanted && !getenv("ZPB_FAULT_STAYS")))
        return 0;
    if (act && !strcmp(act, "kill"))
        die();
    if (act && !strcmp(act, "kill-after"))
        return 1;
    errno = act ? atoi(act) : EIO;
    return -1;
}

#define WRAP(result, name, parameters, arguments, fd, path)                                                            \
    result name parameters {                                                                                           \
        static result(*real) parameters;                                                                               \
        int met = meet(#name, fd, path);                                                                               \
        result value;                                                                                                  \
        if (met < 0)                                                                                                   \
            return (result)-1;                                                                                         \
        if (!real)                                                                                                     \
            real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                                      \
        value = real arguments;                                                                                        \
        if (met > 0)                                                                                                   \
            die();                                                                                                     \
        return value;                                                                                                  \
    }

WRAP(ssize_t, pwrite, (int fd, const void *data, size_t length, off_t at), (fd, data, length, at), fd, NULL)
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t length, off64_t at), (fd, data, length, at), fd, NULL)
WRAP(ssize_t, write, (int fd, const void *data, size_t length), (fd, data, length), fd, NULL)
WRAP(int, fsync, (int fd), (fd), fd, NULL)
WRAP(int, fdatasync, (int fd), (fd), fd, NULL)
WRAP(int, ftruncate64, (int fd, off64_t length), (fd, length), fd, NULL)
WRAP(int, renameat, (int from, const char *old, int to, const char *name), (from, old, to, name), to, name)
WRAP(int, rename, (const char *old, const char *name), (old, name), AT_FDCWD, name)
WRAP(int, linkat, (int from, const char *old, int to, const char *name, int flags), (from, old, to, name, flags), to,
     name)
WRAP(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags), fd, name)
WRAP(int, unlink, (const char *name), (name), AT_FDCWD, name)
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode), fd, name)
WRAP(int, mkdir, (const char *name, mode_t mode), (name, mode), AT_FDCWD, name)

static time_t wrong_by(void) {
    const char *seconds = getenv("ZPB_FAULT_CLOCK");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += wrong_by();
    return (int)failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    long failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += wrong_by();
    return (int)failed;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}
