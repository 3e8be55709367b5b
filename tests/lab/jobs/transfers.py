"""Jobs that move bytes in every way there is, with and without time limits, and those whose peer ends it."""

from tests.lab.agreement import NOBODY, PORTS, job, peer
from tests.lab.jobs import PREAMBLE
from tests.lab.network import DNS, SERVER
from tests.lab.recording import python


def to(server: str, source: str) -> list[str]:
    """A Python job with `s` connected to a server."""
    return python(f'{PREAMBLE}s = call("{SERVER}", {PORTS[server]})\n{source}')


def alone(source: str) -> list[str]:
    """A Python job that talks to itself, or makes its own connections."""
    return python(f'{PREAMBLE}SERVER = "{SERVER}"\nPORTS = {PORTS}\n{source}')


ALL = "s.shutdown(1)\nprint(s.recv(100))"  # what the counting server has to say
REQUEST = 's.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")\n'
LOOP = """
talkers = {{each.fileno(): each for each in (call(SERVER, PORTS["echo"]) for _ in range(4))}}
for each in talkers.values(): each.setblocking(False); each.send(b"x\\n")
{}
"""
DNS_QUERY = r"b'\x12\x34\1\0\0\1\0\0\0\0\0\0\3api\7partner\7example\0\0\1\0\1'"
CONNECTS = """
talker = socket.socket()
talker.setblocking(False)
talker.connect_ex((SERVER, {port}))
print(select.select([], [talker], [], 5)[1] == [talker], talker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
"""

JOBS = [
    job("half-close", to("counting", 's.sendall(b"a" * 1000)\ns.sendall(b"b" * 500)\n' + ALL)),
    job("send-large", to("counting", "s.sendall(bytes(n % 251 for n in range(300_000)))\n" + ALL)),
    job(
        "receive-large", to("large", REQUEST + "n = 0\nwhile n < 200_000: n += len(s.recv(65536))\nprint(n >= 200_000)")
    ),
    job("writev", to("counting", "print(os.writev(s.fileno(), [b'ab' * n for n in range(100)]))\n" + ALL)),
    job("sendmsg-many", to("counting", "print(s.sendmsg([b'abc' * n for n in range(300)]))\n" + ALL)),
    job(
        "readv",
        to(
            "large",
            REQUEST
            + "s.recv(17_700, socket.MSG_PEEK | socket.MSG_WAITALL)\nroom = [bytearray(n * 10) for n in range(1, 60)]\n"
            "print(os.readv(s.fileno(), room), room[-1][:20])",
        ),
    ),
    job(
        "recvmsg",
        to(
            "large",
            REQUEST
            + "s.recv(5_000, socket.MSG_PEEK | socket.MSG_WAITALL)\nroom = [bytearray(100) for _ in range(50)]\n"
            "print(s.recvmsg_into(room)[0], room[-1][:20])",
        ),
    ),
    job(
        "sendfile",
        to(
            "counting",
            "f = open('/proc/self/exe', 'rb')\nprint(os.sendfile(s.fileno(), f.fileno(), 0, 100_000))\n" + ALL,
        ),
    ),
    job(
        "splice",
        to(
            "echo",
            "import io\nr, w = os.pipe()\nos.write(w, b'hello\\n')\nprint(os.splice(r, s.fileno(), 6))\n"
            "print(os.splice(s.fileno(), w, 100), os.read(r, 9))",
        ),
    ),
    job("peek", to("echo", "s.send(b'x\\n')\nprint(s.recv(2, socket.MSG_PEEK), s.recv(1), s.recv(9))")),
    job(
        "out-of-band",
        alone("a, b = pair()\na.send(b'!', socket.MSG_OOB)\ntime.sleep(0.1)\nprint(b.recv(1, socket.MSG_OOB))"),
    ),
    job("plain-read-write", to("echo", "os.write(s.fileno(), b'x\\n')\nprint(os.read(s.fileno(), 9))")),
    job(
        "time-limit-option",
        to("silent", "s.setsockopt(1, 20, struct.pack('ll', 1, 0))\n" + REQUEST + "s.recv(9)"),
        "read-timeout",
        peer("silent"),
    ),
    job("alarm", to("silent", "signal.alarm(1)\n" + REQUEST + "s.recv(9)"), "read-timeout", peer("silent")),
    job(
        "interrupted",
        to(
            "silent",
            "def late(*_): raise TimeoutError\nsignal.signal(14, late)\nsignal.setitimer(0, 0.5)\n"
            + REQUEST
            + "s.recv(9)",
        ),
        "read-timeout",
        peer("silent"),
    ),
    job(
        "interrupted-and-resumed",
        to(
            "echo",
            "seen = []\nsignal.signal(14, lambda *_: seen.append(1))\nsignal.setitimer(0, 0.05, 0.05)\n"
            "s.settimeout(None)\nthreading.Timer(0.4, s.send, [b'x\\n']).start()\nprint(s.recv(9), len(seen) > 2)\n"
            "signal.setitimer(0, 0)",
        ),
        loose=True,
    ),
    job(
        "blocked",
        to("not-reading", "s.settimeout(1)\ns.sendall(bytes(8_000_000))"),
        "send-blocked",
        peer("not-reading"),
        slack=1 << 16,
    ),
    job("reset", to("resetting", REQUEST + "s.recv(9)"), "reset-by-peer", peer("resetting")),
    job(
        "broken-pipe",
        to("closing", REQUEST + "print(s.recv(9))\ns.send(b'x')\ntime.sleep(0.2)\ns.send(b'y')"),
        "broken-pipe",
        peer("closing"),
    ),
    job(
        "killed-by-broken-pipe",
        to(
            "closing",
            "signal.signal(13, signal.SIG_DFL)\n" + REQUEST + "s.recv(9)\ns.send(b'x')\ntime.sleep(0.2)\ns.send(b'y')",
        ),
        "broken-pipe",
        peer("closing"),
    ),
    job("connect-nonblocking", alone(CONNECTS.format(port=PORTS["echo"]))),
    job("connect-nonblocking-refused", alone(CONNECTS.format(port=NOBODY)), "connect-refused", peer(NOBODY)),
    job(
        "select",
        alone(
            LOOP.format(
                "while talkers:\n for n in select.select(list(talkers), [], [])[0]: print(talkers.pop(n).recv(9))"
            )
        ),
    ),
    job(
        "poll",
        alone(
            LOOP.format(
                "p = select.poll()\n[p.register(n, 1) for n in talkers]\nwhile talkers:\n for n, _ in p.poll():\n"
                "  print(talkers[n].recv(9)); p.unregister(n); talkers.pop(n).close()"
            )
        ),
    ),
    job(
        "epoll",
        alone(
            LOOP.format(
                "p = select.epoll()\n[p.register(n, 1 | 1 << 31) for n in talkers]\nwhile talkers:\n"
                " for n, _ in p.poll():\n  print(talkers[n].recv(9)); p.unregister(n); talkers.pop(n).close()"
            )
        ),
    ),
    job(
        "udp",
        alone(f"u = socket.socket(type=2)\nu.sendto({DNS_QUERY}, ('{DNS}', 53))\nprint(len(u.recvfrom(512)[0]))"),
    ),
    job(
        "udp-no-answer",
        alone(
            f"u = socket.socket(type=2)\nu.settimeout(1)\nu.sendto({DNS_QUERY}, ('{SERVER}', 99))\n"
            "u.connect((SERVER, 99))\nu.recv(512)"
        ),
        "dns-timeout",
        peer(99),
    ),
    job(
        "socketpair-of-threads",
        alone(
            "a, b = socket.socketpair()\n"
            "t = threading.Thread(target=lambda: b.sendall(b.recv(100, socket.MSG_WAITALL)[::-1]))\nt.start()\n"
            "a.sendall(bytes(range(100)))\nprint(a.recv(100, socket.MSG_WAITALL)[:5])\nt.join()"
        ),
    ),
    job(
        "ipv6",
        alone(
            "d = socket.create_server(('::1', 0), family=10)\nc = socket.create_connection(d.getsockname()[:2])\n"
            "e, _ = d.accept()\nc.sendall(b'six')\nprint(e.recv(9))"
        ),
    ),
]
