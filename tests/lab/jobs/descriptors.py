"""Jobs that move sockets about: duplicates, redirections, inheritance, passing, high numbers, numbers used again."""

from tests.lab.agreement import PORTS, job
from tests.lab.jobs import PREAMBLE
from tests.lab.network import SERVER
from tests.lab.recording import python

ECHO = f'("{SERVER}", {PORTS["echo"]})'


def here(source: str) -> list[str]:
    """A Python job; ECHO is the address of a server that says OK to each line."""
    return python(f"{PREAMBLE}ECHO = {ECHO}\n{source}")


def bash(line: str) -> list[str]:
    """A job of bash(1), whose redirections know /dev/tcp."""
    return ["bash", "-c", line]


DEV_TCP = f"/dev/tcp/{SERVER}"

JOBS = [
    job("dup", here("s = call(*ECHO)\nt = s.dup()\ns.close()\nprint(ask(t))\nt.close()")),
    job(
        "dup2-onto-a-socket",
        here(
            "a, b = call(*ECHO), call(*ECHO)\nos.dup2(a.fileno(), b.fileno())\nprint(ask(b))\na.close()\nprint(ask(b))"
        ),
    ),
    job(
        "dup2-onto-output",
        here(
            "s = call(*ECHO)\nold = os.dup(1)\nos.dup2(s.fileno(), 1)\nsubprocess.run(['echo', 'from echo'])\n"
            "os.dup2(old, 1)\nprint(s.recv(9))"
        ),
    ),
    job(
        "dup3-and-file-under-its-number",
        here(
            "s = call(*ECHO)\nn = s.fileno()\nask(s)\ns.close()\n"
            "f = open('/dev/null', 'wb', buffering=0)\nassert f.fileno() == n\n[f.write(b'x') for _ in range(50)]\nf.close()\n"
            "t = call(*ECHO)\nassert t.fileno() == n\nprint(ask(t))"
        ),
    ),
    job(
        "numbers-above-1024",
        here(
            "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\ns = call(*ECHO)\n"
            "high = fcntl.fcntl(s, fcntl.F_DUPFD_CLOEXEC, 1500)\ns.close()\nos.write(high, b'x\\n')\nprint(os.read(high, 9))\n"
            "os.dup2(high, 3000)\nos.close(high)\nos.write(3000, b'y\\n')\nprint(os.read(3000, 9))"
        ),
    ),
    job(
        "fifty-at-once",
        here(
            "all = [call(*ECHO) for _ in range(50)]\nprint({os.write(s.fileno(), b'x\\n') for s in all})\n"
            "print({os.read(s.fileno(), 9) for s in reversed(all)})\n[s.close() for s in all[::2]]\n"
            "print({ask(s) for s in all[1::2]})"
        ),
    ),
    job(
        "close-range",
        here(
            "a, b, c = call(*ECHO), call(*ECHO), call(*ECHO)\nask(a)\n"
            "ctypes.CDLL(None).close_range(b.fileno(), 1000, 0)\nd = call(*ECHO)\nprint(ask(d), ask(a))\n"
            "b.detach(), c.detach()"
        ),
    ),
    job(
        "close-range-at-exec",
        here(
            "a = call(*ECHO)\na.set_inheritable(True)\nctypes.CDLL(None).close_range(3, ~0, 4)\n"
            "os.execv('/bin/sh', ['sh', '-c', f'echo x >&{a.fileno()} || echo gone'])"
        ),
    ),
    job(
        "exec-keeps-it",
        here(
            "a = call(*ECHO)\na.set_inheritable(True)\n"
            "os.execv('/bin/sh', ['sh', '-c', f'echo x >&{a.fileno()}; head -c 3 <&{a.fileno()}'])"
        ),
    ),
    job(
        "exec-closes-it",
        here("a = call(*ECHO)\nask(a)\nos.execv('/bin/sh', ['sh', '-c', f'echo x >&{a.fileno()} || echo gone'])"),
    ),
    job(
        "inherited-by-children",
        here(
            "a, b = call(*ECHO), call(*ECHO)\n"
            "subprocess.run(['sh', '-c', f'echo x >&{a.fileno()}; head -c 3 <&{a.fileno()}'], pass_fds=[a.fileno()])\n"
            "print(ask(a), ask(b))"
        ),
    ),
    job(
        "standard-streams-are-sockets",
        here(
            "a, b = pair()\np = subprocess.Popen(['tr', 'a-z', 'A-Z'], stdin=b, stdout=b)\nb.close()\n"
            "a.sendall(b'words')\na.shutdown(1)\nprint(a.recv(99))\np.wait()"
        ),
    ),
    job(
        "listener-inherited",
        here(
            "door = socket.create_server(('127.0.0.1', 0))\ndoor.set_inheritable(True)\nn = door.fileno()\n"
            "child = f'import socket\\nd = socket.socket(fileno={n})\\ns, _ = d.accept()\\ns.sendall(s.recv(9).upper())'\n"
            "p = subprocess.Popen([sys.executable, '-ISc', child], close_fds=False)\nx = call(*door.getsockname())\n"
            "print(ask(x))\np.wait()"
        ),
    ),
    job(
        "passed-to-a-child",
        here(
            "here, there = socket.socketpair()\ns = call(*ECHO)\n"
            "if not os.fork():\n"
            "    s.close()\n    _, [n], *_ = socket.recv_fds(there, 9, 1)\n    got = socket.socket(fileno=n)\n"
            "    print(ask(got), flush=True)\n    os._exit(3)\n"
            "socket.send_fds(here, [b'take'], [s.fileno()])\nprint(os.wait()[1])\nprint(ask(s))"
        ),
    ),
    job(
        "passed-to-another-program",
        here(
            "here, there = socket.socketpair()\nchild = ('import os, socket\\n'\n"
            " 'words, ns, *_ = socket.recv_fds(socket.socket(fileno=0), 9, 5)\\nprint(words, len(ns), flush=True)\\n'\n"
            " 'for n in ns: os.write(n, b\"x\\\\n\"); print(os.read(n, 9), flush=True)')\n"
            "a, b = call(*ECHO), call(*ECHO)\np = subprocess.Popen([sys.executable, '-ISc', child], stdin=there)\n"
            "socket.send_fds(here, [b'two'], [a.fileno(), b.fileno()])\na.close()\np.wait()\nprint(ask(b))"
        ),
    ),
    job(
        "fetched-from-another-process",
        here(
            "s = call(*ECHO)\nn = s.fileno()\nif not os.fork():\n    signal.pause()\n"
            "    os._exit(0)\nchild = int(open(f'/proc/self/task/{os.getpid()}/children').read())\ns.close()\n"
            "got = ctypes.CDLL(None).syscall(438, os.pidfd_open(child), n, 0)\nos.write(got, b'x\\n')\nprint(os.read(got, 9))\n"
            "os.kill(child, 9)\nprint(os.wait()[1])"
        ),
    ),
    job(
        "dev-tcp",
        bash(f"exec 5<>{DEV_TCP}/{PORTS['echo']}; echo hello >&5; read -r answer <&5; echo $answer; exec 5>&-"),
    ),
    job(
        "dev-tcp-closed",
        bash(f"exec 9<>{DEV_TCP}/{PORTS['closing']}; echo GET / >&9; read -t 5 line <&9 || echo nothing"),
    ),
    job("dev-tcp-cat", bash(f"cat <{DEV_TCP}/{PORTS['counting']} & sleep 0.3; kill %1; wait; echo done")),
    job("dev-tcp-refused", bash(f"echo x >{DEV_TCP}/70"), "connect-refused", f"{SERVER}:70"),
    job("dev-udp", bash("echo x >/dev/udp/203.0.113.53/5300; echo sent")),
]
