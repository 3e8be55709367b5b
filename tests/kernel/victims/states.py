"""Hangs of a rarer kind, as hang.py: the first argument names it, "ready" (and what a test must know) comes first."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

import loops
from basics import libc, pair, ready

SOL_TCP_USER_TIMEOUT = 18


def alarm() -> None:
    client, _server = pair()
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(600)
    ready(client.fileno())
    client.recv(1)


def mapped() -> None:
    """An IPv6 socket that talks IPv4 to this very host."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket(socket.AF_INET6)
        client.connect(("::ffff:127.0.0.1", listener.getsockname()[1]))
        _server = listener.accept()[0]
        ready(client.fileno(), listener.getsockname()[1])
        client.recv(1)


def own_address() -> None:
    """A connection to an address of this host that is no loopback address."""
    client, _server = pair(sys.argv[2])
    ready(client.fileno())
    client.recv(1)


def forked_server(unix: bool = False) -> None:
    """One process a connection, and without the listening socket in it, as PostgreSQL does: parent's port is ours."""
    if unix:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[2])
        listener.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(sys.argv[2])
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
    conn = listener.accept()[0]
    child = os.fork()
    if child == 0:
        listener.close()
        client.close()
        conn.recv(1)
        os._exit(0)
    conn.close()
    ready(child, conn.fileno())
    os.wait()


def forked_server_unix() -> None:
    forked_server(unix=True)


def udp_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", int(sys.argv[2])))
        ready(sock.fileno())
        sock.recv(512)


def udp_client() -> None:
    """As a resolver without connect(2): asks, then waits on its ephemeral port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"?", ("127.0.0.1", 9))
        ready(sock.fileno())
        sock.recv(512)


def unix_datagram_server() -> None:
    """As /dev/log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(sys.argv[2])
        ready(sock.fileno())
        sock.recv(512)


def sniffer() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:  # protocol 0: nothing ever comes
        ready(sock.fileno())
        sock.recv(512)


def raw() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as sock:
        ready(sock.fileno())
        sock.recv(512)


def unix_connect() -> None:
    """The listener's queue is full: connect(2) waits for accept(2)."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[2])
    listener.listen(0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    waiting[0].connect(sys.argv[2])
    ready(waiting[1].fileno())
    waiting[1].connect(sys.argv[2])


def send_with_user_timeout() -> None:
    client, _server = pair()
    client.setsockopt(socket.IPPROTO_TCP, SOL_TCP_USER_TIMEOUT, 120_000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    ready(client.fileno())
    client.sendall(bytes(1 << 26))


def keepalive_with_user_timeout() -> None:
    """TCP_USER_TIMEOUT takes the place of TCP_KEEPCNT (tcp(7))."""
    client, _server = pair()
    for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
        client.setsockopt(socket.IPPROTO_TCP, option, value)
    client.setsockopt(socket.IPPROTO_TCP, SOL_TCP_USER_TIMEOUT, int(sys.argv[2]))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    ready(client.fileno())
    client.recv(1)


def two_networks() -> None:
    """A socket of the network namespace that the process has left."""
    client, _server = pair()
    libc.unshare(0x40000000)
    ready(client.fileno(), client.getpeername()[1])
    client.recv(1)


def stopped_peer() -> None:
    """The other end is a process on this host that somebody has stopped."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    theirs.close()
    os.waitpid(child, os.WUNTRACED)
    ready(child)
    ours.recv(1)


def splice() -> None:
    """From a silent socket into a pipe."""
    client, _server = pair()
    _reader, writer = os.pipe()
    client.sendall(b"?")
    ready(client.fileno())
    os.splice(client.fileno(), writer, 100)


def linger() -> None:
    """close(2) waits until the peer has taken what was written (SO_LINGER)."""
    client, server = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    client.setblocking(False)
    while True:
        try:
            client.send(bytes(1 << 16))
        except BlockingIOError:
            break
    client.setblocking(True)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 600))
    ready(client.fileno())
    client.close()


def held_by_a_supervisor() -> None:
    """A seccomp filter hands connect(2) to a supervisor, which does not decide (container runtimes, sandboxes)."""
    connect = {"x86_64": 42, "aarch64": 203}[os.uname().machine]
    notify, allow = 0x7FC00000, 0x7FFF0000
    code = struct.pack("=HBBI", 0x20, 0, 0, 0) + struct.pack("=HBBI", 0x15, 0, 1, connect)
    code += struct.pack("=HBBI", 0x06, 0, 0, notify) + struct.pack("=HBBI", 0x06, 0, 0, allow)
    program = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("=HxxxxxxQ", 4, ctypes.addressof(program))
    libc.prctl(38, 1, 0, 0, 0)
    number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
    listener = libc.syscall(number, 1, 8, ctypes.create_string_buffer(fprog, 16))  # SET_MODE_FILTER, NEW_LISTENER
    assert listener >= 0, os.strerror(ctypes.get_errno())
    with socket.socket() as sock:
        ready(sock.fileno())
        sock.connect(("127.0.0.1", 9))


def partly() -> None:
    """recv(2) of exactly 1,000 bytes (MSG_WAITALL), of which 100 have come."""
    client, server = pair()
    client.sendall(b"?")
    time.sleep(0.05)
    server.sendall(bytes(100))
    ready(client.fileno())
    client.recv(1000, socket.MSG_WAITALL)


def low_water() -> None:
    """SO_RCVLOWAT: bytes are there, but fewer than the program wants to be woken for."""
    client, server = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1000)
    server.sendall(bytes(100))
    ready(client.fileno())
    client.recv(5000)


def half_closed() -> None:
    """The request is out and our side is shut: the answer is awaited in FIN-WAIT-2."""
    client, _server = pair()
    client.sendall(b"?")
    client.shutdown(socket.SHUT_WR)
    ready(client.fileno())
    client.recv(1)


def io_uring() -> None:
    """io_uring_enter(2) that waits for one completion while nothing was asked for."""
    parameters = ctypes.create_string_buffer(120)
    fd = libc.syscall(425, 4, parameters)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    ready(fd)
    libc.syscall(426, fd, 0, 1, 1, None, 0)


def signalfd() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    mask = ctypes.create_string_buffer(struct.pack("=Q", 1 << (signal.SIGUSR1 - 1)), 128)
    fd = libc.signalfd(-1, mask, 0)
    ready(fd)
    os.read(fd, 128)


def page_fault() -> None:
    """Touches a page of a userfaultfd that nobody fills: blocked, and in no system call."""
    import mmap

    number = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
    fd = libc.syscall(number, 0)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    import fcntl

    fcntl.ioctl(fd, 0xC018AA3F, bytearray(struct.pack("=QQQ", 0xAA, 0, 0)), True)  # UFFDIO_API
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(fd, 0xC020AA00, bytearray(struct.pack("=QQQQ", address, mmap.PAGESIZE, 1, 0)), True)  # _REGISTER
    ready()
    memory[0]


def netlink() -> None:
    """Waits for news of the network from the kernel: no peer at all."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.bind((0, 1))
        ready(sock.fileno())
        sock.recv(4096)


def ipv6_unanswered() -> None:
    """A request over IPv6."""
    client, _server = pair("::1", socket.AF_INET6)
    client.sendall(b"?")
    ready(client.fileno())
    client.recv(1)


def accept_with_a_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 300, 0))
        ready(listener.fileno())
        libc.accept(listener.fileno(), None, None)


def mptcp() -> None:
    """A connection of Multipath TCP, which the tables of sockets show by its subflows only."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        client.connect(listener.getsockname())
        conn, _ = listener.accept()
    client.sendall(b"?")
    ready(client.fileno(), client.getpeername()[1])
    client.recv(1)
    conn.close()


if __name__ == "__main__":
    kinds: dict[str, Callable[[], None]] = {
        name: value for name, value in (vars(loops) | globals()).items() if callable(value) and not name.startswith("_")
    }
    kinds[sys.argv[1]]()
