/* LD_PRELOAD library: the FAIL_AT-th call of FAIL_CALL that systrace's own processes make fails once, with FAIL_ERRNO.
 *
 * FAIL_STATE is a file of two ints that all processes share: how many calls there were, and whether one has failed.
 * Processes of the job are left alone: they are no Python that runs systrace. Counting begins when systrace reads the
 * module of its command: what fails before that is Python's own affair. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static volatile int *state; /* calls, failed, armed */
static const char *wanted;
static int error, at, ours;

__attribute__((constructor)) static void begin(void) {
    char text[4096];
    const char *name = getenv("FAIL_STATE");
    int fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY), length;
    if (fd < 0 || !name) return;
    length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    for (int i = 0; i < length; i++)
        if (!text[i]) text[i] = ' ';
    text[length > 0 ? length : 0] = 0;
    ours = strstr(text, "python") && strstr(text, "systrace");
    fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR);
    if (fd < 0 || !ours) return;
    state = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    wanted = getenv("FAIL_CALL");
    error = atoi(getenv("FAIL_ERRNO"));
    at = atoi(getenv("FAIL_AT"));
}

static int fails(const char *call) {
    if (!ours || !state || !state[2] || strcmp(call, wanted)) return 0;
    if (__sync_add_and_fetch(&state[0], 1) != at || !__sync_bool_compare_and_swap(&state[1], 0, 1)) return 0;
    errno = error;
    return 1;
}

static void arm(const char *path) {
    if (ours && state && path && strstr(path, "/commands/") && strstr(path, "run.")) state[2] = 1;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = va_arg(more, int);                                                                                  \
        va_end(more);                                                                                                  \
        NEXT(name);                                                                                                    \
        arm(path);                                                                                                     \
        return fails("open") ? -1 : next(path, flags, mode);                                                           \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
    int name(int dir, const char *path, int flags, ...) {                                                              \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = va_arg(more, int);                                                                                  \
        va_end(more);                                                                                                  \
        NEXT(name);                                                                                                    \
        return fails("open") ? -1 : next(dir, path, flags, mode);                                                      \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write);
    return fails("write") ? -1 : next(fd, data, size);
}
int fchmod(int fd, mode_t mode) {
    NEXT(fchmod);
    return fails("fchmod") ? -1 : next(fd, mode);
}
int pipe2(int *fds, int flags) {
    NEXT(pipe2);
    return fails("pipe") ? -1 : next(fds, flags);
}
int pipe(int *fds) {
    NEXT(pipe);
    return fails("pipe") ? -1 : next(fds);
}
int socketpair(int a, int b, int c, int *fds) {
    NEXT(socketpair);
    return fails("pipe") ? -1 : next(a, b, c, fds);
}
pid_t fork(void) {
    NEXT(fork);
    return fails("fork") ? -1 : next();
}
int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    return fails("mkdir") ? -1 : next(path, mode);
}
int mkfifo(const char *path, mode_t mode) {
    NEXT(mkfifo);
    return fails("mkdir") ? -1 : next(path, mode);
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return fails("rename") ? -1 : next(from, to);
}
int link(const char *from, const char *to) {
    NEXT(link);
    return fails("rename") ? -1 : next(from, to);
}
