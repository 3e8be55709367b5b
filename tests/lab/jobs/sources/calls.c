/* calls WAY HOST PORT: uses sockets in ways that no script can. The server says OK to each line. Compiled three times:
 * for this machine, without shared libraries, and for i386. Prints what it got; any surprise is status 1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in server;

#define MUST(what) do { if (!(what)) { perror(#what); exit(1); } } while (0)

static int call(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(fd >= 0);
    MUST(connect(fd, (struct sockaddr *)&server, sizeof server) == 0);
    return fd;
}

static void ask(int fd)
{
    char answer[16];
    MUST(write(fd, "hello\n", 6) == 6);
    ssize_t count = read(fd, answer, sizeof answer);
    MUST(count > 0);
    printf("%.*s", (int)count, answer);
    fflush(stdout);
}

static void plain(void) { int fd = call(); ask(fd); close(fd); }

static void vforked(void)
{
    int fd = call();
    dup2(fd, 9);
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "echo x >&9; head -c 3 <&9", NULL);
        _exit(1);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
    ask(fd);
}

static int on_shared(void *where)
{
    int fd = call();
    *(int *)where = fd;
    return 7;
}

/* A process that is no thread and shares descriptors: what it opens is there for its parent. */
static void shared(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int fd = -1, status;
    pid_t child = clone(on_shared, stack + sizeof stack, CLONE_VM | CLONE_FILES | SIGCHLD, &fd);
    MUST(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    ask(fd);
    close(fd);
}

/* Datagrams, several a call. */
static void datagrams(void)
{
    struct mmsghdr out[3] = {0}, in[4] = {0};
    struct iovec outs[3][2], ins[4];
    char room[4][32];
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    MUST(bind(b, (struct sockaddr *)&name, sizeof name) == 0 && getsockname(b, (struct sockaddr *)&name, &size) == 0);
    MUST(connect(a, (struct sockaddr *)&name, sizeof name) == 0);
    for (int i = 0; i < 3; i++) {
        outs[i][0] = (struct iovec){"part one ", 9};
        outs[i][1] = (struct iovec){"three" + i, 5 - i};
        out[i].msg_hdr = (struct msghdr){.msg_iov = outs[i], .msg_iovlen = 2};
    }
    for (int i = 0; i < 4; i++) {
        ins[i] = (struct iovec){room[i], sizeof room[i]};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &ins[i], .msg_iovlen = 1};
    }
    MUST(sendmmsg(a, out, 3, 0) == 3);
    struct timespec limit = {1, 0};
    MUST(recvmmsg(b, in, 4, MSG_WAITFORONE, &limit) == 3);
    for (int i = 0; i < 3; i++)
        printf("%.*s\n", (int)in[i].msg_len, room[i]);
}

static void *write_many(void *fd)
{
    for (int i = 0; i < 20; i++)
        MUST(write(*(int *)fd, "line\n", 5) == 5);
    MUST(shutdown(*(int *)fd, SHUT_WR) == 0);
    return NULL;
}

/* One thread writes, another reads. */
static void threads(void)
{
    int fd = call(), total = 0;
    char room[100];
    pthread_t writer;
    MUST(pthread_create(&writer, NULL, write_many, &fd) == 0);
    for (ssize_t count; (count = read(fd, room, sizeof room)) > 0;)
        total += (int)count;
    pthread_join(writer, NULL);
    printf("%d\n", total > 0);
}

static void edges(void)
{
    int loop = epoll_create1(0), fds[3];
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fds[i] = call()};
        MUST(epoll_ctl(loop, EPOLL_CTL_ADD, fds[i], &event) == 0);
    }
    for (int i = 0; i < 3; i++) {
        struct epoll_event ready;
        MUST(write(fds[i], "x\n", 2) == 2);
        MUST(epoll_pwait(loop, &ready, 1, 5000, NULL) == 1 && ready.data.fd == fds[i]);
        char room[9];
        MUST(read(fds[i], room, 9) == 3);
    }
    puts("three");
}

static void vectors(void)
{
    int fd = call();
    char a[2], b[9];
    struct iovec out[] = {{"he", 2}, {NULL, 0}, {"llo\n", 4}}, in[] = {{a, 2}, {b, 9}};
    MUST(writev(fd, out, 3) == 6 && readv(fd, in, 2) == 3);
    printf("%.2s%.1s", a, b);
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 3};
    MUST(sendmsg(fd, &message, MSG_NOSIGNAL) == 6);
    message = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    MUST(recvmsg(fd, &message, 0) == 3);
}

static void wrong(void) /* calls that fail */
{
    int fd = call();
    MUST(send(-1, "x", 1, 0) < 0 && errno == EBADF);
    MUST(send(fd, (void *)1, 100, 0) < 0 && errno == EFAULT);
    MUST(recv(fd, (void *)1, 100, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    MUST(connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno == EISCONN);
    MUST(connect(fd, (void *)1, sizeof server) < 0 && errno == EFAULT);
    MUST(bind(fd, (struct sockaddr *)&server, 3) < 0 && errno == EINVAL);
    MUST(setsockopt(fd, 12345, 1, "four", 4) < 0);
    MUST(close(fd) == 0 && close(fd) < 0 && errno == EBADF);
    MUST(socket(AF_INET, 77, 0) < 0);
    ask(call());
}

static void names(void) /* of UNIX sockets: abstract, in the file system, none */
{
    int door = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "door"};
    unlink("door");
    MUST(bind(door, (struct sockaddr *)&name, sizeof name) == 0 && listen(door, 1) == 0);
    MUST(connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
    int other = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    char room[9];
    MUST(send(fd, "words", 5, 0) == 5 && recv(other, room, 9, 0) == 5);
    unlink("door");
    ask(call());
}

static void user(void) /* what set-uid makes of us */
{
    printf("%d %d\n", getuid() == geteuid(), (int)geteuid());
    ask(call());
}

static const struct { const char *name; void (*way)(void); } ways[] = {
    {"plain", plain}, {"vfork", vforked}, {"shared", shared}, {"datagrams", datagrams}, {"threads", threads},
    {"edges", edges}, {"vectors", vectors}, {"wrong", wrong}, {"names", names}, {"user", user},
};

int main(int argc, char **argv)
{
    MUST(argc == 4);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    MUST(inet_pton(AF_INET, argv[2], &server.sin_addr) == 1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(argv[1], ways[i].name)) {
            ways[i].way();
            return 0;
        }
    return 2;
}
