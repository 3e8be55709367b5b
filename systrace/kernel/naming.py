"""Processes by the names that people call them: `nightly_export.sh`, which the kernel calls bash.

A process goes by the kernel's own name for it (comm, 15 bytes), by its program (the base name of argv[0]), and, where
the program is an interpreter, by its script. All of these are its own choice, and hostile: they are only compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from systrace.dataclass import dataclass
from systrace.kernel import procfs

YOUNG_S = 2.0  # so long a new process is looked at in each round: between fork and execve it has its parent's name
ROUND_S = 0.02
ALL_S = 0.5  # how often all are looked at: a shell may become the job by `exec`, at any age
SHARE = 20  # one part of the time for looking, so many for sleeping
LONGEST_S = 0.1  # ... but a job is not to wait for us longer than this
_ARGV_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How its command line names the script: the first word that is no option, unless one of these comes first."""

    values: str = ""  # options whose value is the next word
    script: str = ""  # options whose value is the script
    code: str = ""  # options with the program itself: there is no script
    clusters: str = ""  # letters that mean that in a cluster, too: `bash -ec`, `python -Im`


_SHELL = Interpreter("-o +o -O +O --rcfile --init-file", "", "-c", "c")
_JAVA = "-cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports --add-reads"
INTERPRETERS = {
    **dict.fromkeys("sh bash dash ash ksh mksh zsh".split(), _SHELL),
    "python": Interpreter("-W -X --check-hash-based-pycs", "-m", "-c", "mc"),
    "pypy": Interpreter("-W -X", "-m", "-c", "mc"),
    "php": Interpreter("-d -c -z", "-f --file", "-r -R -B -S --run", ""),
    "perl": Interpreter("-I", "", "-e -E", "eE"),
    "ruby": Interpreter("-I -r -C", "", "-e", "e"),
    "node": Interpreter("-r --require --import --loader -C --conditions", "", "-e -p --eval --print", "ep"),
    "nodejs": Interpreter("-r --require --import --loader -C --conditions", "", "-e -p --eval --print", "ep"),
    "java": Interpreter(_JAVA, "-jar -m --module", "", ""),
    "lua": Interpreter("-l", "", "-e", "e"),
    **dict.fromkeys("Rscript tclsh wish mono dotnet pwsh".split(), Interpreter("", "-f -File", "-e -Command", "")),
}


@dataclass(frozen=True, slots=True)
class Named:
    """A process that goes by a name; `start_ticks` tells it from a later owner of its number."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Found:
    """Who goes by a name: those that may be looked at, and how many may not."""

    processes: tuple[Named, ...]
    left_out: int


def names_of(pid: int) -> frozenset[str]:
    """All names of a process, empty when it is gone. Bytes that are no UTF-8 are as `os.fsdecode` gives them."""
    comm = procfs.read(f"/proc/{pid}/comm", 64)
    if comm is None:
        return frozenset()
    raw = (procfs.read(f"/proc/{pid}/cmdline", _ARGV_BYTES) or b"").rstrip(b"\0")
    argv = [os.fsdecode(word) for word in raw.split(b"\0")] if raw else []
    return frozenset({os.fsdecode(comm.rstrip(b"\n")), *words_for(argv)} - {""})


def words_for(argv: list[str]) -> set[str]:
    """The names that a command line gives: program and script, each with and without its directory."""
    if not argv:
        return set()
    program = argv[0].lstrip("-")  # of a login shell
    title = program.split(None, 1)[0].rstrip(":") if program.split() else ""  # "nginx: master process /usr/sbin/nginx"
    found = {program, _base(program), title, _base(title)}
    interpreter = INTERPRETERS.get(_base(program)) or INTERPRETERS.get(_base(program).rstrip("0123456789.-"))
    if interpreter is not None:
        script = script_of(argv, interpreter)
        found |= {script, _base(script)}
        if _base(program) == "java" and not script.endswith(".jar"):
            found.add(script.rsplit(".", 1)[-1])  # com.example.Export
    return found


def script_of(argv: list[str], how: Interpreter) -> str:
    """What an interpreter was told to run; "" for code on the command line, or for nothing."""
    values, script, code = how.values.split(), how.script.split(), how.code.split()
    words = iter(argv[1:])
    for word in words:
        if word in values:
            next(words, "")
        elif word in script or word == "--":
            return next(words, "")
        elif word in code:
            return ""
        elif word[:1] not in ("-", "+") or word in ("-", "+"):
            return word
        elif word[1:].isalpha() and len(word) <= 8 and word[-1] in how.clusters:
            return next(words, "") if f"-{word[-1]}" in script else ""
    return ""


def goes_by(names: frozenset[str], pattern: str) -> bool:
    """Whether one of the names is `pattern`, or matches it as a shell's glob (`*`, `?`, `[a-z]`).

    Only a pattern with a slash is compared with paths, so that `*export*` does not find what merely lies in a directory.
    """
    paths = "/" in pattern
    return any(name == pattern or fnmatchcase(name, pattern) for name in names if paths or "/" not in name)


def find(pattern: str) -> Found:
    """Who goes by this name now: no kernel threads, nobody who has ended, neither we nor those who started us.

    What runs below another one that is found belongs to that one's family, and is left out: subshells, workers.
    """
    own = ancestors(os.getpid()) | {os.getpid()}
    found, left_out = [], 0
    for pid in _numbers():
        if pid in own or not goes_by(names_of(pid), pattern):
            continue
        named = _living(pid)
        if named is not None and may_look(pid):
            found.append(named)
        elif named is not None:
            left_out += 1
    pids = {named.pid for named in found}
    return Found(tuple(named for named in found if not ancestors(named.pid) & pids), left_out)


def visible() -> list[int]:
    """Whom `find` would look at and may, the youngest first."""
    own = ancestors(os.getpid()) | {os.getpid()}
    found = [named for pid in _numbers() if pid not in own and may_look(pid) and (named := _living(pid)) is not None]
    return [named.pid for named in sorted(found, key=lambda named: -named.start_ticks)]


def wait_for(pattern: str, there_already: tuple[Named, ...]) -> Named:
    """Wait until another process than these, and those below them, goes by that name and may be looked at."""
    own = ancestors(os.getpid()) | {os.getpid()}
    known = {named.pid: named for named in there_already}
    for pids in _rounds():
        for pid in pids:
            if pid in own or not goes_by(names_of(pid), pattern):
                continue
            named = _living(pid)
            if named is None or _is_or_below(named, known) or not may_look(pid):
                continue
            above = [each for each in sorted(ancestors(pid) - own) if goes_by(names_of(each), pattern)]
            return _living(above[0]) or named if above and may_look(above[0]) else named
    raise AssertionError("the rounds never end")


def _is_or_below(named: Named, known: dict[int, Named]) -> bool:
    """Whether it is one of these, or of the family of one that still lives."""
    if known.get(named.pid) == named:
        return True
    return any(_living(pid) == known[pid] for pid in ancestors(named.pid) & known.keys())


def _rounds() -> Iterator[list[int]]:
    """Whom to look at, round by round: those that have just come, and now and then all."""
    came: dict[int, float] = {}
    all_again = 0.0
    while True:
        began = time.monotonic()
        numbers = _numbers()
        came = {pid: came.get(pid, began) for pid in numbers}
        everybody = began >= all_again
        yield [pid for pid in numbers if everybody or began - came[pid] < YOUNG_S]
        cost = SHARE * (time.monotonic() - began)
        if everybody:
            all_again = time.monotonic() + max(ALL_S, cost)
        time.sleep(ROUND_S if everybody else min(max(ROUND_S, cost), LONGEST_S))


def ancestors(pid: int) -> set[int]:
    """Its parent, and so on to the first process that can be seen."""
    found: set[int] = set()
    stat = procfs.stat_of(pid)
    while stat is not None and stat.ppid > 0 and stat.ppid not in found:
        found.add(stat.ppid)
        stat = procfs.stat_of(stat.ppid)
    return found


def may_look(pid: int) -> bool:
    """Whether its descriptors may be read (PTRACE_MODE_READ, ptrace(2)): without them nothing can be said of a process."""
    try:
        os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    except OSError:
        return False
    return True


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _living(pid: int) -> Named | None:
    """None for kernel threads, and for what has ended."""
    stat = procfs.stat_of(pid)
    if stat is None or stat.kernel_thread or (stat.state in "ZX" and len(procfs.task_ids(pid)) < 2):
        return None
    return Named(pid, stat.start_ticks)


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]
