"""Servers that misbehave, each in one way. Standard library only; also a program:

    python3 servers.py BEHAVIOUR ADDRESS:PORT [NUMBER]

It prints `ready ADDRESS:PORT` once it listens, and serves until it is ended. NUMBER is seconds or a count, see each.
"""

import fcntl
import json
import re
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.network import Namespace

Behaviour = Callable[[socket.socket, float], None]
BEHAVIOURS: dict[str, Behaviour] = {}
ROWS = [{"id": number, "total": number * 1.5} for number in range(3)]
PAGE = b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>Back at 06:00</h1></body></html>\n"
FOREVER = 3600.0
SMALL_BUFFER = 4096  # bytes: the receive window closes after few kilobytes


def behaviour(serve: Behaviour) -> Behaviour:
    """Register under the function's name."""
    BEHAVIOURS[serve.__name__.replace("_", "-")] = serve
    return serve


def request(peer: socket.socket) -> bytes:
    """The next request: up to an empty line or, in line protocols, to the first line's end. Empty at the end."""
    data = b""
    while not (b"\r\n\r\n" in data or (b"\n" in data and b" HTTP/1." not in data)):
        more = peer.recv(65536)
        if not more:
            return b""
        data += more
    length = re.search(rb"(?i)content-length: *(\d+)", data)
    wanted = int(length[1]) - len(data.partition(b"\r\n\r\n")[2]) if length else 0
    while wanted > 0 and (more := peer.recv(wanted)):
        wanted -= len(more)
    return data


def answer(peer: socket.socket, body: bytes, kind: str = "application/json", *, length: int | None = None) -> None:
    """One HTTP answer; a `length` of its own makes it lie."""
    size = len(body) if length is None else length
    peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body)


@behaviour
def good(peer: socket.socket, _: float) -> None:
    """Answers every request with JSON, and keeps the connection."""
    while request(peer):
        answer(peer, json.dumps({"rows": ROWS}).encode())


@behaviour
def silent(peer: socket.socket, _: float) -> None:
    """Takes the request and never answers."""
    request(peer)
    time.sleep(FOREVER)


@behaviour
def slow(peer: socket.socket, seconds: float) -> None:
    """Answers each request after `seconds`."""
    while request(peer):
        time.sleep(seconds)
        answer(peer, json.dumps({"rows": ROWS}).encode())


@behaviour
def thinking(peer: socket.socket, seconds: float) -> None:
    """A line protocol: `OK` for the first line at once, for each later one after `seconds`."""
    wait = 0.0
    while request(peer):
        time.sleep(wait)
        peer.sendall(b"OK\n")
        wait = seconds


@behaviour
def echo(peer: socket.socket, _: float) -> None:
    """A line protocol: `OK` for each line."""
    while request(peer):
        peer.sendall(b"OK\n")


@behaviour
def resetting(peer: socket.socket, _: float) -> None:
    """Takes the request, answers with RST (SO_LINGER of 0 s, socket(7))."""
    request(peer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@behaviour
def closing(peer: socket.socket, _: float) -> None:
    """Takes the request and closes in order."""
    request(peer)


@behaviour
def html(peer: socket.socket, _: float) -> None:
    """A maintenance page with status 200."""
    while request(peer):
        answer(peer, PAGE, "text/html; charset=utf-8")


@behaviour
def short_body(peer: socket.socket, _: float) -> None:
    """Declares more than it sends."""
    request(peer)
    answer(peer, b'{"rows": [1, 2', length=4000)


@behaviour
def wrong_charset(peer: socket.socket, _: float) -> None:
    """Latin-1 bytes, declared UTF-8."""
    while request(peer):
        answer(peer, '{"city": "Zürich"}'.encode("latin-1"), "application/json; charset=utf-8")


@behaviour
def smtp_banner(peer: socket.socket, _: float) -> None:
    """Greets as a mail server, whatever is asked."""
    peer.sendall(b"220 mail.example.net ESMTP\r\n")
    while request(peer):
        peer.sendall(b"500 5.5.1 Command unrecognized\r\n")


@behaviour
def reading(peer: socket.socket, _: float) -> None:
    """Reads whatever comes, to its end, and says nothing."""
    while peer.recv(65536):
        pass


@behaviour
def large(peer: socket.socket, _: float) -> None:
    """Answers every request with 200,000 bytes that are nowhere alike."""
    while request(peer):
        answer(peer, b"".join(b"%07d\n" % number for number in range(25_000)), "text/plain")


@behaviour
def counting(peer: socket.socket, _: float) -> None:
    """Reads to the end of what the client sends, then says how much that was and what it adds up to."""
    count = total = 0
    while data := peer.recv(65536):
        count, total = count + len(data), total + sum(data)
    peer.sendall(b"%d bytes, sum %d\n" % (count, total))


@behaviour
def not_reading(_: socket.socket, __: float) -> None:
    """Accepts and reads nothing: the window closes. The listener has a small receive buffer for it."""
    time.sleep(FOREVER)


@behaviour
def not_accepting(peer: socket.socket, _: float) -> None:
    """Begins to accept after NUMBER seconds only, with room for one connection until then. Then as `echo`."""
    echo(peer, _)


def listen(name: str, address: str, port: int, number: float) -> None:
    """Serve for ever, one thread a connection."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if name == "not-reading":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        listener.bind((address, port))
        listener.listen(0 if name == "not-accepting" else 64)
        ready(address, listener.getsockname()[1])
        if name == "not-accepting":
            time.sleep(number)
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_serve, args=(name, peer, number), daemon=True).start()


def _serve(name: str, peer: socket.socket, number: float) -> None:
    with peer:
        try:
            BEHAVIOURS[name](peer, number)
        except OSError:
            pass  # the client went away: not this server's fault


def name_server(address: str, port: int, number: float) -> None:
    """DNS over UDP (RFC 1035): every name has one A record, 203.0.113.NUMBER; no AAAA. NUMBER 0: NXDOMAIN for all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((address, port))
        ready(address, port)
        while True:
            query, client = listener.recvfrom(2048)
            end = query.index(b"\0", 12) + 5
            wants_a = query[end - 4 : end - 2] == b"\0\1"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(f"203.0.113.{int(number)}")
            count = 1 if wants_a and number else 0
            flags = 0x8580 if number else 0x8583
            head = query[:2] + struct.pack(">5H", flags, 1, count, 0, 0)
            listener.sendto(head + query[12:end] + record * count, client)


def ready(address: str, port: int) -> None:
    """Tell the starter that clients may come."""
    sys.stdout.write(f"ready {address}:{port}\n")
    sys.stdout.flush()


@contextmanager
def running(namespace: "Namespace", name: str, address: str, port: int, number: float = 0) -> Iterator[Popen[str]]:
    """A server in `namespace` for the time of the block; entered once it listens. Yields its process."""
    argv = [sys.executable, "-I", str(Path(__file__).resolve()), name, f"{address}:{port}", str(number)]
    with namespace.popen(*argv, stdout=PIPE, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline().startswith("ready "):
                raise RuntimeError(f"server {name} on {address}:{port} did not start")
            yield process
        finally:
            process.kill()


FILL = """
import socket, sys, time
kept = []
while True:
    kept.append(socket.socket())
    kept[-1].settimeout(1)
    try:
        kept[-1].connect((sys.argv[1], int(sys.argv[2])))
    except TimeoutError:
        break
kept.pop().close()
print("ready", flush=True)
time.sleep(3600)
"""


@contextmanager
def one_full_queue(*, fills: bool = True) -> Iterator[None]:
    """Laboratories have the same addresses: of two full queues at a time nobody could tell which is the peer's.

    Not `fills`: none is full meanwhile, for whoever waits for a connection that something else prevents.
    """
    with (Path(tempfile.gettempdir()) / "systrace-full-queue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if fills else fcntl.LOCK_SH)
        yield


@contextmanager
def filled(namespace: "Namespace", address: str, port: int) -> Iterator[None]:
    """Connections from `namespace` that take every place in the queue of a `not-accepting` server."""
    argv = [sys.executable, "-I", "-S", "-c", FILL, address, str(port)]
    with namespace.popen(*argv, stdout=PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError(f"the queue of {address}:{port} could not be filled")
            yield
        finally:
            process.kill()


def main() -> int:
    """The program."""
    known = [*BEHAVIOURS, "name-server"]
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in known:
        sys.stderr.write(f"usage: servers.py {{{'|'.join(known)}}} ADDRESS:PORT [NUMBER]\n")
        return 2
    address, _, port = sys.argv[2].rpartition(":")
    number = float(sys.argv[3]) if len(sys.argv) == 4 else 0.0
    if sys.argv[1] == "name-server":
        name_server(address, int(port), number)
    listen(sys.argv[1], address, int(port), number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
