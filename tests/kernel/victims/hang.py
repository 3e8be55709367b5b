"""Hangs in the way its first argument names; prints "ready" (and what a test must know) when it is about to."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from basics import pair, ready, say


def recv() -> None:
    client, _server = pair()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    ready(client.fileno(), client.getpeername()[1])
    client.recv(100)


def recv_timeout() -> None:
    client, _server = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (30).to_bytes(8, "little") + bytes(8))
    ready(client.fileno())
    client.recv(100)


def send() -> None:
    client, _server = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    ready(client.fileno())
    client.sendall(bytes(1 << 26))


def poll() -> None:
    client, _server = pair()
    poller = select.poll()
    poller.register(client, select.POLLIN)
    ready(client.fileno())
    poller.poll()


def poll_slices() -> None:
    client, _server = pair()
    client.sendall(b"?")
    ready(client.fileno())
    while not select.select([client], [], [], 0.2)[0]:
        pass


def epoll() -> None:
    client, _server = pair()
    client.sendall(b"?")
    poller = select.epoll()
    poller.register(client, select.EPOLLIN)
    ready(poller.fileno(), client.fileno())
    say("woken", poller.poll())


def epoll_raw() -> None:
    """epoll_wait of libc, 3 s: Python itself would hide an EINTR."""
    libc = ctypes.CDLL(None, use_errno=True)
    client, _server = pair()
    poller = select.epoll()
    poller.register(client, select.EPOLLIN)
    ready(poller.fileno(), client.fileno())
    began = time.monotonic()
    result = libc.epoll_wait(poller.fileno(), ctypes.create_string_buffer(64), 4, 3000)
    say("result", result, ctypes.get_errno() if result < 0 else 0, time.monotonic() - began)


def accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready(listener.fileno(), listener.getsockname()[1])
        listener.accept()


def udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 53))
        ready(sock.fileno())
        sock.recv(512)


def unix() -> None:
    left, _right = socket.socketpair()
    ready(left.fileno())
    left.recv(1)


def futex() -> None:
    lock = threading.Lock()
    lock.acquire()
    ready()
    lock.acquire()


def mutex_itself() -> None:
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    ready()
    libc.pthread_mutex_lock(mutex)


def mutex_circle() -> None:
    libc, first, second = ctypes.CDLL(None), ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    meet = threading.Barrier(2)

    def take(one: ctypes.Array[ctypes.c_char], other: ctypes.Array[ctypes.c_char]) -> None:
        libc.pthread_mutex_lock(one)
        meet.wait()
        libc.pthread_mutex_lock(other)

    threading.Thread(target=take, args=(second, first), daemon=True).start()
    ready()
    take(first, second)


def join_native() -> None:
    libc, number = ctypes.CDLL(None), ctypes.c_ulong()
    body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: time.sleep(600))
    libc.pthread_create(ctypes.byref(number), None, body, None)
    ready()
    libc.pthread_join(number, None)


def join() -> None:
    client, _server = pair()
    thread = threading.Thread(target=client.recv, args=(1,))
    thread.start()
    ready(client.fileno())
    thread.join()


def child() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        ready(process.pid)
        process.wait()


def pipe_deadlock() -> None:
    """The child fills the pipe that its parent does not read, because the parent waits for the child's end."""
    with subprocess.Popen(["sh", "-c", "exec cat /dev/zero"], stdout=subprocess.PIPE) as process:
        ready(process.pid)
        os.waitpid(process.pid, 0)


def pipe() -> None:
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready(process.pid)
        process.stdout.read(1)


def own_pipe() -> None:
    reader, _writer = os.pipe()
    ready(reader)
    os.read(reader, 1)


def fifo() -> None:
    os.mkfifo(sys.argv[2])
    ready()
    os.open(sys.argv[2], os.O_RDONLY)


def fifo_read() -> None:
    """Reads from a FIFO that another process has opened for writing and does not write."""
    os.mkfifo(sys.argv[2])
    with subprocess.Popen(["sh", "-c", 'exec 3>"$0"; exec sleep 600', sys.argv[2]]) as process:
        fd = os.open(sys.argv[2], os.O_RDONLY)
        ready(process.pid)
        os.read(fd, 1)


def dead_file_system() -> None:
    import deadfs

    deadfs.mount(sys.argv[2])
    fd = os.open(f"{sys.argv[2]}/late.csv", os.O_RDONLY)
    ready(fd)
    os.read(fd, 100)


def flock() -> None:
    path = sys.argv[2]
    holder = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    waiter = os.open(path, os.O_RDWR)
    ready(waiter)
    fcntl.flock(waiter, fcntl.LOCK_EX)


def record_lock() -> None:
    path = sys.argv[2]
    holder = os.fork()
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    if holder == 0:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        ready(os.getpid())
        time.sleep(600)
    sys.stdin.readline()
    fcntl.lockf(fd, fcntl.LOCK_EX)


def sleep() -> None:
    ready()
    time.sleep(600)


def busy() -> None:
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def stopped() -> None:
    ready()
    os.kill(os.getpid(), signal.SIGSTOP)


def tty() -> None:
    parent, terminal = os.openpty()
    os.dup2(terminal, 0)
    ready(parent)
    os.read(0, 1)


def sigwait() -> None:
    ready()
    signal.pause()


def selects() -> None:
    client, server = pair()
    ready(client.fileno(), server.fileno())
    select.select([client, server], [], [], 300.0)


def poll_raw() -> None:
    """poll of libc with a limit, so that a stop and SIGCONT go on with it by restart_syscall(2)."""
    client, _server = pair()
    poll_list = client.fileno().to_bytes(4, "little") + select.POLLIN.to_bytes(4, "little")
    ready(client.fileno())
    ctypes.CDLL(None).poll(poll_list, 1, 300_000)


def epoll_many() -> None:
    """Connections that have asked and wait for an answer, all of one epoll set."""
    host, port, count = sys.argv[2:5]
    poller = select.epoll()
    connections = [socket.create_connection((host, int(port))) for _ in range(int(count))]
    for each in connections:
        each.sendall(b"?")
        poller.register(each, select.EPOLLIN)
    ready(poller.fileno(), *(each.fileno() for each in connections[:100]))
    poller.poll(600)


def epoll_limit() -> None:
    """Again and again for as many seconds."""
    client, _server = pair()
    client.sendall(b"?")
    poller = select.epoll()
    poller.register(client, select.EPOLLIN)
    ready(poller.fileno(), client.fileno())
    while not poller.poll(float(sys.argv[2])):
        pass


def fed() -> None:
    """Gets a byte ten times a second."""
    client, server = pair()

    def feed() -> None:
        while True:
            server.sendall(b".")
            time.sleep(0.1)

    threading.Thread(target=feed, daemon=True).start()
    ready(client.fileno())
    while client.recv(1):
        pass


def deaf() -> None:
    """Listens and never accepts, its queue filled by itself where it is told to."""
    host, port, backlog, own = sys.argv[2:6]
    listener = socket.create_server((host, int(port)), backlog=int(backlog))
    full = [socket.create_connection(listener.getsockname()) for _ in range(int(own))]
    ready(len(full))
    time.sleep(600)


def unread() -> None:
    client, server = pair()
    server.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\x1b[2Jevil")
    ready(client.fileno())
    time.sleep(600)


def connect() -> None:
    host, port = sys.argv[2], int(sys.argv[3])
    sock = socket.socket()
    ready(sock.fileno())
    sock.connect((host, port))


def serve() -> None:
    """Answer one request after the number of seconds that it names; "silent" never answers."""
    with socket.create_server(("0.0.0.0", int(sys.argv[2]))) as listener:
        ready()
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket) -> None:
    asked = sock.recv(100).decode()
    if asked == "silent":
        sock.recv(1)
    time.sleep(float(asked))
    sock.sendall(b"late answer")


def ask() -> None:
    """The batch job: one request, then waits for the answer without any timeout."""
    host, port, seconds = sys.argv[2:5]
    sock = socket.create_connection((host, int(port)))
    sock.sendall(seconds.encode())
    ready(sock.fileno())
    try:
        say("answer", sock.recv(100).decode())
    except OSError as error:
        say("error", type(error).__name__, error.errno)


def ask_again() -> None:
    """A request that goes out on a path that has died since the connection was made."""
    host, port = sys.argv[2:4]
    sock = socket.create_connection((host, int(port)))
    ready(sock.fileno())
    sys.stdin.readline()
    sock.sendall(b"silent")
    sock.recv(100)


def many() -> None:
    """100 threads and 1,000 sockets."""
    count = int(sys.argv[2])
    for _ in range(99):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    keep = [socket.socketpair() for _ in range(count // 4)]
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        tcp = []
        for _ in range(count // 4):
            tcp.append(socket.create_connection(listener.getsockname()))
            tcp.append(listener.accept()[0])
    ready(len(keep) * 2 + len(tcp))
    tcp[0].recv(1)


if __name__ == "__main__":
    kinds: dict[str, Callable[[], None]] = {
        name: value
        for name, value in list(globals().items())
        if callable(value) and not name.startswith("_") and name not in ("say", "ready", "pair")
    }
    kinds[sys.argv[1]]()
