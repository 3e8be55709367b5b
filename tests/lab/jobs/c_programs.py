"""`sources/calls.c` in all its ways: with shared libraries, static, of 32 bits, set-uid."""

from tests.lab.agreement import NOBODY, PORTS, job, peer
from tests.lab.network import SERVER

_NOBODY = "65534"  # the user


def calls(program: str, way: str, port: int = PORTS["echo"]) -> list[str]:
    """The command line."""
    return [f"./{program}", way, SERVER, str(port)]


WAYS = ("plain", "vfork", "shared", "datagrams", "edges", "vectors", "wrong", "names")
JOBS = [
    *[job(f"c-{way}", calls("calls", way)) for way in WAYS],
    job("c-threads", calls("calls", "threads", PORTS["counting"])),
    job("c-refused", calls("calls", "plain", NOBODY), "connect-refused", peer(NOBODY)),
    job("static", calls("calls-static", "vfork")),
    *[job(f"i386-{way}", calls("calls-i386", way)) for way in ("plain", "vfork", "datagrams", "vectors", "wrong")],
    job(
        "set-uid",
        ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *calls("calls-suid", "user")],
        options=("--no-seccomp",),  # no filter without giving up new rights
    ),
]
