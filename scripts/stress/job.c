/* job SECONDS SEED LOG [ROUND PORT TOKEN-BAND]: threads, forks, execs, signals and descriptors used again, all at random.
 *
 * A driver without sockets starts workers, so that tracers which learn about descriptors meet fresh processes for ever.
 * Each worker has a server thread and client threads; everything that a call gives back is checked, and what the
 * recording must show is written to LOG: `C token` a connection, `P pid status` a child that was waited for.
 * The first surprise ends everything with status 1 and a line on standard error. x86-64, gcc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DRIVERS = 3, CLIENTS = 3, PADDING = 2500, HIGHEST = 1000 };

static int log_fd;
static unsigned descriptors; /* how many there may be */
static const char *program, *log_name;
static __thread uint64_t state; /* of this thread's random numbers */

static void fail(const char *what, long got, int line)
{
    char text[200];
    int saved = errno, size = snprintf(text, sizeof text, "stress: line %d: %s: got %ld, errno %d\n", line, what, got, saved);
    if (write(2, text, (size_t)size) < 0) {}
    kill(0, SIGKILL); /* the whole group: nobody waits for who is gone */
}
#define MUST(what) do { if (!(what)) fail(#what, 0, __LINE__); } while (0)
#define IS(call, wanted) do { long got_ = (call); if (got_ != (long)(wanted)) fail(#call, got_, __LINE__); } while (0)

static uint64_t number(void) /* splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned below(unsigned limit) { return (unsigned)(number() % limit); }

static void note(const char *format, ...)
{
    char text[100];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    IS(write(log_fd, text, (size_t)size), size);
}

/* --- registers: whatever a call does not return it gives back -------------------------------------------------------- */

struct registers {
    uint64_t number, args[6], kept[6], vectors[16][2];
};
uint64_t call_with(const struct registers *before, struct registers *after);
__asm__(
    ".intel_syntax noprefix\n.text\ncall_with:\n"
    "push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\npush rsi\npush rdi\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmovdqu xmm\\n, [rdi+104+16*\\n]\n.endr\n"
    "mov rax, rdi\n"
    "mov rbx, [rax+56]\nmov rbp, [rax+64]\nmov r12, [rax+72]\nmov r13, [rax+80]\nmov r14, [rax+88]\nmov r15, [rax+96]\n"
    "mov rdi, [rax+8]\nmov rsi, [rax+16]\nmov rdx, [rax+24]\nmov r10, [rax+32]\nmov r8, [rax+40]\nmov r9, [rax+48]\n"
    "mov rax, [rax]\nsyscall\n"
    "mov rcx, [rsp+8]\n" /* the kernel spoils rcx and r11, nothing else */
    "mov [rcx], rax\nmov [rcx+8], rdi\nmov [rcx+16], rsi\nmov [rcx+24], rdx\nmov [rcx+32], r10\nmov [rcx+40], r8\n"
    "mov [rcx+48], r9\nmov [rcx+56], rbx\nmov [rcx+64], rbp\nmov [rcx+72], r12\nmov [rcx+80], r13\nmov [rcx+88], r14\n"
    "mov [rcx+96], r15\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmovdqu [rcx+104+16*\\n], xmm\\n\n.endr\n"
    "pop rdi\npop rsi\npop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n"
    ".att_syntax prefix\n");

/* A call with every other register at random. */
static long raw(long call, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    struct registers before, after;
    for (size_t i = 0; i < sizeof before / 8; i++)
        ((uint64_t *)&before)[i] = number();
    before.number = (uint64_t)call;
    uint64_t args[] = {a, b, c, d, e};
    memcpy(before.args, args, sizeof args);
    call_with(&before, &after);
    if (memcmp(&before.args, &after.args, sizeof before - sizeof before.number))
        fail("a register was changed by call", call, __LINE__);
    return (long)after.number;
}

static void registers(void)
{
    long fd = raw(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0), one = 1;
    MUST(fd >= 3);
    IS(raw(SYS_setsockopt, (uint64_t)fd, SOL_SOCKET, SO_REUSEADDR, (uint64_t)&one, 4 + (sizeof one - 8)), 0);
    unsigned to = 20 + below(HIGHEST);
    long high = raw(SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, to, 0, 0);
    MUST(high >= to);
    IS(raw(SYS_read, (uint64_t)high, (uint64_t)&one, 8, 0, 0), -ENOTCONN);
    IS(raw(SYS_close, (uint64_t)fd, 0, 0, 0, 0), 0);
    IS(raw(SYS_getpid, 0, 0, 0, 0, 0), getpid());
    IS(raw(SYS_close, (uint64_t)high, 0, 0, 0, 0), 0);
    IS(raw(SYS_close, (uint64_t)-1, 0, 0, 0, 0), -EBADF);
}

/* --- connections -------------------------------------------------------------------------------------------------------- */

static size_t compose(char *text, uint64_t token) /* the request: its bytes follow from the token */
{
    size_t size = (size_t)sprintf(text, "T%016lx ", token), more = token % PADDING;
    for (size_t i = 0; i < more; i++)
        text[size++] = (char)('a' + (token >> i % 57 & 15));
    text[size++] = '\n';
    return size;
}

static ssize_t take(int fd, char *to, size_t room) /* in one of the ways to read */
{
    struct iovec parts[] = {{to, room / 2}, {to + room / 2, room - room / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    switch (below(4)) {
    case 0: return read(fd, to, room);
    case 1: return recv(fd, to, room, 0);
    case 2: return readv(fd, parts, 2);
    default: return recvmsg(fd, &message, 0);
    }
}

static size_t line_from(int fd, char *to, size_t room)
{
    size_t size = 0;
    while (size == 0 || to[size - 1] != '\n') {
        ssize_t count = take(fd, to + size, room - size);
        if (count < 0 && errno == EINTR)
            continue;
        MUST(count > 0);
        size += (size_t)count;
    }
    return size;
}

static void give(int fd, char *text, size_t size)
{
    size_t first = size < 40 ? size : 40;
    struct iovec parts[] = {{text, first}, {text + first, 0}, {text + first, size - first}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    ssize_t count = 0;
    switch (below(4)) {
    case 0: count = write(fd, text, size); break;
    case 1: count = send(fd, text, size, MSG_NOSIGNAL); break;
    case 2: count = writev(fd, parts, 3); break;
    default: count = sendmsg(fd, &message, 0);
    }
    IS(count, size);
}

static void *serve(void *door)
{
    state = (uint64_t)(uintptr_t)&door ^ (uint64_t)time(NULL);
    for (;;) {
        char text[PADDING + 50], wanted[PADDING + 50];
        int fd = accept4(*(int *)door, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINTR)
            continue;
        MUST(fd >= 0);
        size_t size = line_from(fd, text, sizeof text);
        text[17] = 0;
        uint64_t token = strtoull(text + 1, NULL, 16);
        text[17] = ' ';
        IS(size, compose(wanted, token));
        IS(memcmp(text, wanted, size), 0);
        text[0] = 'R';
        text[17] = '\n';
        give(fd, text, 18);
        IS(shutdown(fd, SHUT_RDWR), 0); /* children that were forked meanwhile have it too */
        IS(close(fd), 0);
    }
    return NULL;
}

static int dial(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = (int)raw(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
    MUST(fd >= 0);
    IS(raw(SYS_connect, (uint64_t)fd, (uint64_t)&name, sizeof name, 0, 0), 0);
    return fd;
}

static void converse(int fd) /* one exchange, to the end of the connection */
{
    char text[PADDING + 50], answer[100];
    uint64_t token = number();
    size_t size = compose(text, token);
    note("C %016lx\n", token);
    give(fd, text, size);
    IS(line_from(fd, answer, sizeof answer), 18);
    IS(memcmp(answer + 1, text + 1, 16), 0);
    MUST(answer[0] == 'R');
    ssize_t rest;
    do rest = take(fd, answer, sizeof answer);
    while (rest < 0 && errno == EINTR);
    IS(rest, 0);
    IS(close(fd), 0);
}

static uint64_t own_number(void) /* no two threads of a process have the same one at a time */
{
    enum { FIRST = HIGHEST + 500 };
    return FIRST + (uint64_t)gettid() % (descriptors - FIRST);
}

static int moved(int fd) /* the same socket under another number; a file under the old one for a moment */
{
    int to = fd;
    switch (below(4)) {
    case 0: return fd;
    case 1: to = dup(fd); break;
    case 2: to = fcntl(fd, F_DUPFD_CLOEXEC, (int)below(HIGHEST)); break;
    default: to = (int)raw(SYS_dup3, (uint64_t)fd, own_number(), O_CLOEXEC, 0, 0);
    }
    MUST(to >= 0);
    IS(close(fd), 0);
    int file = open("/dev/zero", O_RDWR | O_CLOEXEC);
    char room[8] = "1234567";
    IS(read(file, room, 8), 8);
    MUST(!room[0] && !room[7]);
    IS(write(file, room, 5), 5);
    IS(close(file), 0);
    return to;
}

static void talk(int port) { converse(moved(dial(port))); }

/* --- processes ---------------------------------------------------------------------------------------------------------- */

static void await(pid_t child, int wanted)
{
    int status = -1;
    pid_t got;
    do got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    IS(got, child);
    IS(status, wanted);
    note("P %d %d\n", child, status);
}

static void forked(int port)
{
    int status = (int)below(256), deadly = below(4) == 0, inherited = below(2) ? dial(port) : -1;
    uint64_t seed = number();
    pid_t child = fork();
    MUST(child >= 0);
    if (!child) {
        state = seed;
        if (inherited >= 0)
            converse(moved(inherited));
        else
            talk(port);
        if (deadly)
            kill(getpid(), SIGKILL);
        _exit(status);
    }
    if (inherited >= 0)
        IS(close(inherited), 0);
    await(child, deadly ? SIGKILL : status << 8);
}

static void spawned(int port) /* another program, by vfork(2) or posix_spawn(3): once a connection of its own, once ours */
{
    char port_text[20], seed[30], fd_text[20], status_text[20];
    int status = (int)below(256), fd = -1;
    if (below(2)) {
        int other = dial(port);
        fd = fcntl(other, F_DUPFD, 10); /* without close-on-exec: other children may hold it for a moment */
        MUST(fd >= 10);
        IS(close(other), 0);
    }
    sprintf(port_text, "%d", port), sprintf(seed, "%lu", number()), sprintf(fd_text, "%d", fd), sprintf(status_text, "%d", status);
    char *words[] = {(char *)program, "child", seed, (char *)log_name, port_text, fd_text, status_text, NULL};
    pid_t child;
    if (below(2)) {
        IS(posix_spawn(&child, program, NULL, NULL, words, environ), 0);
    } else {
        child = vfork();
        if (!child) {
            execve("/nonexistent/program", words, environ);
            if (errno == ENOENT)
                execve(program, words, environ);
            _exit(99);
        }
    }
    if (fd >= 0)
        IS(close(fd), 0);
    await(child, status << 8);
}

static void *briefly(void *port)
{
    state = (uint64_t)gettid() * 1000003u ^ (uint64_t)(uintptr_t)&port ^ (uint64_t)clock();
    talk(*(int *)port);
    return (void *)7;
}

static void threaded(int port)
{
    pthread_t thread;
    void *result;
    IS(pthread_create(&thread, NULL, briefly, &port), 0);
    IS(pthread_join(thread, &result), 0);
    IS((long)result, 7);
}

static void passed(int port) /* over a UNIX socket, to a child */
{
    int ends[2], fd = dial(port);
    uint64_t seed = number();
    IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    MUST(child >= 0);
    char byte = 'x', room[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (!child) {
        state = seed;
        close(fd); /* then the one that comes has a number that was in use */
        IS(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC), 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
        converse(fd);
        _exit(5);
    }
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    IS(sendmsg(ends[0], &message, 0), 1);
    IS(close(fd), 0);
    await(child, 5 << 8);
    IS(close(ends[0]), 0);
    IS(close(ends[1]), 0);
}

/* --- signals and errors ------------------------------------------------------------------------------------------------- */

static __thread volatile int ticks, finisher;

static void tick(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)info, (void)context;
    int saved = errno;
    if (++ticks == 3 && finisher > 0 && write(finisher, "!", 1) != 1)
        _exit(98);
    errno = saved;
}

static void interrupted(void) /* a read ends with EINTR, or goes on after the handler, as the handler was installed */
{
    int ends[2], restarts = (int)below(2);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = restarts ? SIGRTMIN + 2 : SIGRTMIN + 1};
    event._sigev_un._tid = gettid();
    timer_t timer;
    struct itimerspec period = {{0, 3000000}, {0, 3000000}};
    char byte = 0;
    IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    finisher = restarts ? ends[0] : 0;
    ticks = 0;
    IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    IS(timer_settime(timer, 0, &period, NULL), 0);
    ssize_t count = below(2) ? read(ends[1], &byte, 1) : recv(ends[1], &byte, 1, 0);
    int error = errno, seen = ticks;
    IS(timer_delete(timer), 0);
    finisher = 0;
    if (restarts) {
        IS(count, 1);
        IS(byte, '!');
        MUST(seen >= 3);
    } else {
        IS(count, -1);
        IS(error, EINTR);
        MUST(seen >= 1);
    }
    IS(close(ends[0]), 0);
    IS(close(ends[1]), 0);
}

static void wrong(void)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int ends[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char room[9];
    IS(raw(SYS_connect, (uint64_t)fd, (uint64_t)&nobody, sizeof nobody, 0, 0), -ECONNREFUSED);
    IS(raw(SYS_read, (uint64_t)fd, 1, 9, 0, 0), -ENOTCONN);
    IS(close(fd), 0);
    IS(raw(SYS_close, 1 << 20, 0, 0, 0, 0), -EBADF);
    IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    IS(recv(ends[0], room, 9, MSG_DONTWAIT), -1);
    IS(errno, EAGAIN);
    IS(raw(SYS_sendto, (uint64_t)ends[0], 1, 9, MSG_NOSIGNAL, 0), -EFAULT);
    IS(shutdown(ends[1], SHUT_RDWR), 0);
    IS(close(ends[1]), 0);
    IS(send(ends[0], "x", 1, MSG_NOSIGNAL), -1);
    IS(errno, EPIPE);
    IS(read(ends[0], room, 9), 0);
    IS(close(ends[0]), 0);
}

/* --- who does it --------------------------------------------------------------------------------------------------------- */

struct client { int port, rounds; uint64_t seed; };

static void *client(void *wanted)
{
    struct client *self = wanted;
    state = self->seed;
    for (int i = 0; i < self->rounds; i++)
        switch (below(16)) {
        case 0: case 1: forked(self->port); break;
        case 2: spawned(self->port); break;
        case 3: passed(self->port); break;
        case 4: threaded(self->port); break;
        case 5: interrupted(); break;
        case 6: case 7: wrong(); break;
        case 8: case 9: case 10: registers(); break;
        default: talk(self->port);
        }
    return NULL;
}

static void *become(void *words) /* execve(2) by a thread that is not the first */
{
    execve(program, words, environ);
    fail("execve", -1, __LINE__);
    return NULL;
}

static int worker(uint64_t seed)
{
    state = seed;
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    IS(sigaction(SIGRTMIN + 1, &action, NULL), 0);
    action.sa_flags |= SA_RESTART;
    IS(sigaction(SIGRTMIN + 2, &action, NULL), 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    static int door;
    door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IS(bind(door, (struct sockaddr *)&name, size), 0);
    IS(listen(door, 100), 0);
    IS(getsockname(door, (struct sockaddr *)&name, &size), 0);
    pthread_t server, threads[CLIENTS];
    struct client clients[CLIENTS];
    IS(pthread_create(&server, NULL, serve, &door), 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){ntohs(name.sin_port), 5 + (int)below(40), number()};
        IS(pthread_create(&threads[i], NULL, client, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        IS(pthread_join(threads[i], NULL), 0);
    if (below(3) == 0) {
        char *words[] = {(char *)program, "child", "1", (char *)log_name, "0", "-1", "0", NULL};
        pthread_create(&server, NULL, become, words);
        pause();
    }
    return 0;
}

int main(int argc, char **argv)
{
    MUST(argc >= 4);
    program = argv[0], log_name = argv[3];
    log_fd = open(log_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    MUST(log_fd >= 0);
    state = strtoull(argv[2], NULL, 10);
    struct rlimit limit;
    IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    descriptors = limit.rlim_max < 30000 ? (unsigned)limit.rlim_max : 30000;
    if (!strcmp(argv[1], "child")) {
        int port = atoi(argv[4]), fd = atoi(argv[5]);
        if (fd >= 0)
            converse(fd);
        else if (port)
            talk(port);
        return atoi(argv[6]);
    }
    if (!strcmp(argv[1], "worker"))
        return worker(state);
    IS(setpgid(0, 0), 0); /* `fail` ends us all, and nobody else */
    time_t end = time(NULL) + atoi(argv[1]);
    for (int running = 0; running || time(NULL) < end;) {
        while (running < DRIVERS && time(NULL) < end) {
            char seed[30];
            sprintf(seed, "%lu", number());
            char *words[] = {(char *)program, "worker", seed, (char *)log_name, NULL};
            pid_t child;
            IS(posix_spawn(&child, program, NULL, NULL, words, environ), 0);
            running++;
        }
        int status;
        pid_t child = wait(&status);
        MUST(child > 0);
        IS(status, 0);
        note("P %d %d\n", child, status);
        running--;
    }
    puts("well");
    return 0;
}
