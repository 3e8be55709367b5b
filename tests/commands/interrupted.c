/* Blocks in a call that a tracer's coming ends with EINTR, and takes that for a fault, as programs do that never met it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void handler(int number) { (void)number; }

static int blocks(const char *kind) {
    int pair[2], set = -1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (strncmp(kind, "epoll", 5) == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event);
        return epoll_wait(epoll, &event, 1, -1);
    }
    if (strcmp(kind, "rcvtimeo") == 0) {
        struct timeval limit = {.tv_sec = 300};
        char byte;
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return recv(pair[0], &byte, 1, 0);
    }
    if (strcmp(kind, "sigtimedwait") == 0) {
        sigset_t signals;
        struct timespec limit = {.tv_sec = 300};
        sigemptyset(&signals);
        sigaddset(&signals, SIGUSR1);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        return sigtimedwait(&signals, NULL, &limit);
    }
    set = semget(IPC_PRIVATE, 1, 0600);
    printf("%d\n", set);
    fflush(stdout);
    struct sembuf take = {.sem_op = -1};
    int result = semop(set, &take, 1), error = errno;
    semctl(set, 0, IPC_RMID);
    errno = error;
    return result;
}

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 2; i < count; i++) /* signals that it handles: SA_RESTART changes nothing for these calls */
        signal(words[i][0] == 'C' ? SIGCHLD : words[i][0] == 'A' ? SIGALRM : SIGTERM, handler);
    printf("%s\n", words[1]);
    fflush(stdout);
    int repeats = strcmp(words[1], "epoll-loop") == 0;
    while (blocks(words[1]) < 0)
        if (!repeats || errno != EINTR) {
            perror(words[1]);
            return 3;
        }
    return 0;
}
