"""Event loops and pools that hang, or rest: of `states`."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
import time

from basics import libc, pair, ready


def timerfd() -> int:
    """A timerfd that fires in 300 s."""
    fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, 0)
    libc.timerfd_settime(fd, 0, struct.pack("=qqqq", 0, 0, 300, 0), None)
    return fd


def epoll_with_timerfd() -> None:
    client, _server = pair()
    poller = select.epoll()
    poller.register(client, select.EPOLLIN)
    poller.register(timerfd(), select.EPOLLIN)
    ready(client.fileno())
    poller.poll()


def poll_with_timerfd() -> None:
    client, _server = pair()
    poller = select.poll()
    poller.register(client, select.POLLIN)
    poller.register(timerfd(), select.POLLIN)
    ready(client.fileno())
    poller.poll()


def read_timerfd() -> None:
    fd = timerfd()
    ready(fd)
    os.read(fd, 8)


def epoll_nested() -> None:
    client, _server = pair()
    client.sendall(b"?")
    inner, outer = select.epoll(), select.epoll()
    inner.register(client, select.EPOLLIN)
    outer.register(inner, select.EPOLLIN)
    ready(client.fileno())
    outer.poll()


def epoll_circle_through_poll() -> None:
    """poll(2) of an epoll descriptor: how event loops are put into one another."""
    client, _server = pair()
    client.sendall(b"?")
    inner, poller = select.epoll(), select.poll()
    inner.register(client, select.EPOLLIN)
    poller.register(inner.fileno(), select.POLLIN)
    ready(client.fileno())
    poller.poll()


def epoll_of_a_closed_number() -> None:
    """The interest set still names a number whose file lives on as a duplicate; the number is another socket's now."""
    watched, _one = pair()
    other, _two = pair()
    poller = select.epoll()
    poller.register(watched, select.EPOLLIN)
    os.dup(watched.fileno())
    number = watched.fileno()
    os.dup2(other.fileno(), number)
    ready(number, other.getpeername()[1])
    poller.poll()


def own_pipe_in_poll() -> None:
    """As supervisors do: a signal handler writes into the pipe that the loop polls."""
    reader, writer = os.pipe()
    signal.signal(signal.SIGUSR1, lambda *_: os.write(writer, b"."))
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    ready(reader)
    poller.poll()


def server_with_a_pool() -> None:
    """A server between two clients, whose own connection to a database rests after an answer."""
    upstream, database = pair()
    upstream.sendall(b"?")
    database.recv(1)
    time.sleep(0.05)
    database.sendall(b"!")
    upstream.recv(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller = select.epoll()
        poller.register(upstream, select.EPOLLIN)
        poller.register(listener, select.EPOLLIN)
        ready(upstream.fileno(), listener.fileno())
        poller.poll()


def server_with_a_question() -> None:
    """The same, while the database owes an answer."""
    upstream, _database = pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller = select.epoll()
        poller.register(upstream, select.EPOLLIN)
        poller.register(listener, select.EPOLLIN)
        time.sleep(0.05)
        upstream.sendall(b"?")
        ready(upstream.fileno(), listener.fileno())
        poller.poll()


def mptcp_accept() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ready(listener.fileno())
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.poll()


def resting_workers() -> None:
    """Workers that rest on a condition, while the first thread serves: nothing hangs."""
    condition = threading.Condition()

    def rest() -> None:
        with condition:
            condition.wait()

    for _ in range(4):
        threading.Thread(target=rest, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready(listener.fileno())
        listener.accept()


def own_pipe_of_threads() -> None:
    """One thread wakes another through a pipe of the process's own."""
    reader, writer = os.pipe()
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    ready(reader, writer)
    os.read(reader, 1)
