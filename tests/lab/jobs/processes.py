"""Jobs of several processes and threads: servers that fork, children by every call there is, signals, ends."""

from tests.lab.agreement import DROPPED, PORTS, job, url
from tests.lab.jobs import PREAMBLE
from tests.lab.network import SERVER
from tests.lab.recording import python


def many(source: str) -> list[str]:
    """A Python job; ECHO, SILENT are servers, `reap` waits for all children."""
    return python(
        f'{PREAMBLE}ECHO, SILENT = ("{SERVER}", {PORTS["echo"]}), ("{SERVER}", {PORTS["silent"]})\n'
        f"def reap():\n    while True:\n        try: print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        f"        except ChildProcessError: return\n{source}"
    )


def shell(line: str) -> list[str]:
    """A command line of bash(1)."""
    return ["bash", "-c", line]


FORK_SERVER = """
door = socket.create_server(("127.0.0.1", 0))
client = os.fork()
if not client:
    for n in range(3):
        talker = call(*door.getsockname())
        print(ask(talker, b"%d\\n" % n), flush=True)
        talker.close()
    os._exit(0)
for n in range(3):
    talker, _ = door.accept()
    child = os.fork()
    if not child:
        door.close()
        talker.sendall(talker.recv(9) * 2)
        os._exit(n)
    talker.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == n
print(os.waitpid(client, 0)[1])
"""
PRE_FORKED = """
door = socket.create_server(("127.0.0.1", 0))
turn, done = os.pipe()
for n in range(3):
    if not os.fork():
        os.read(turn, 1)  # one at a time
        talker, _ = door.accept()
        talker.sendall(talker.recv(9))
        os._exit(n)
for n in range(3):
    os.write(done, b"x")
    print(ask(call(*door.getsockname())))
    os.wait()
"""
THREAD_SERVER = """
door = socket.create_server(("127.0.0.1", 0))
def serve():
    talker, _ = door.accept()
    with talker: talker.sendall(talker.recv(9))
threads = [threading.Thread(target=serve) for _ in range(3)]
[each.start() for each in threads]
for _ in threads: print(ask(call(*door.getsockname())))
[each.join() for each in threads]
"""
SHARED = """
s = call(*ECHO)
def read():
    for _ in range(5): assert s.recv(3, socket.MSG_WAITALL) == b"OK\\n"; turn.release()
turn = threading.Semaphore(1)
reader = threading.Thread(target=read)
reader.start()
for _ in range(5): turn.acquire(); s.send(b"x\\n")
reader.join()
"""
EXEC_IN_THREAD = """
s = call(*ECHO)
s.set_inheritable(True)
ask(s)
threading.Thread(target=lambda: os.execv("/bin/sh", ["sh", "-c", f"echo x >&{s.fileno()}; head -c 3 <&{s.fileno()}"])).start()
time.sleep(9)
"""
KILLED = """
child = os.fork()
if not child:
    call(*SILENT).recv(9)
time.sleep(0.5)
os.kill(child, signal.SIGKILL)
reap()
"""
DAEMON = """
if os.fork():
    os.wait()
    time.sleep(0.5)
else:
    os.setsid()
    if not os.fork(): ask(call(*ECHO)); os._exit(5)
    os._exit(4)
"""
GRANDCHILDREN = """
s = call(*ECHO)
for depth in range(6):
    if os.fork():
        os.wait()
        break
    print(depth, ask(s), flush=True)
"""
URL = url("good")

JOBS = [
    job("fork-server", many(FORK_SERVER)),
    job("pre-forked-server", many(PRE_FORKED)),
    job("thread-server", many(THREAD_SERVER)),
    job("one-socket-two-threads", many(SHARED), loose=True),
    job("exec-in-a-thread", many(EXEC_IN_THREAD)),
    job("generations", many(GRANDCHILDREN)),
    job("daemon", many(DAEMON)),
    job("vfork", many(f"print(len(subprocess.check_output(['curl', '-sS', '{URL}'])))")),
    job("posix-spawn", many(f"os.posix_spawn('/usr/bin/curl', ['curl', '-sS', '{URL}'], {{}})\nreap()")),
    job("subshells", shell(f"(curl -sS {URL}; (curl -sS {URL}; exit 3); echo $?); echo $(curl -sS {URL})")),
    job("timeout-program", shell(f"timeout 1 curl -sS {url('silent')}; echo $?")),
    job(
        "timeout-while-connecting",
        shell(f"timeout 1 curl -sS http://{SERVER}:{DROPPED}/; echo $?"),
    ),
    job("killed-by-its-parent", many(KILLED)),
    job("two-hundred-short-ones", shell(f"for n in $(seq 200); do /bin/true; done; curl -sS {URL}")),
    job(
        "signals",
        many(
            "s = call(*ECHO)\ngot = []\nsignal.signal(10, lambda *_: got.append(1))\n"
            "for _ in range(50): os.kill(os.getpid(), 10); assert ask(s) == b'OK\\n'\nprint(len(got))"
        ),
    ),
    job(
        "strace-inside",
        shell(f"strace -f -qq -e trace=connect -o /dev/null curl -sS {URL} && echo traced"),
        own_ptrace=True,
    ),
]
