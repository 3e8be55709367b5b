"""One traced thread and the call that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.names import Abi

Args = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How one call is printed. The texts lie between the parentheses, `result` stands after ` = `.

    `enter` runs before the call, `leave` after it (given the result, negative errno on failure); both are joined as
    they are, so `enter` ends with ", " where `leave` goes on. `result` is asked only for calls that succeeded.
    """

    enter: Callable[[Tracee, Args], str]
    leave: Callable[[Tracee, Args, int], str] | None = None
    result: Callable[[Tracee, Args, int], str] | None = None
    skip: Callable[[Tracee, Args], bool] | None = None  # True: this one need not be looked at
    returns: bool = True  # False for exit(2)
    blind: bool = False  # `enter` looks at the arguments alone, and perhaps at what the first one stands for


class Tracee:
    """A thread under ptrace; `tid` changes only when it execs without being the leader."""

    __slots__ = (
        "abi",
        "args",
        "born",
        "children_share",
        "clock_ns",
        "coverage",
        "decoder",
        "end",
        "entered_ns",
        "files",
        "filters",
        "fresh",
        "head",
        "in_call",
        "interrupted",
        "kept",
        "lasted",
        "maker",
        "muted",
        "name",
        "observed",
        "page",
        "parked",
        "printed",
        "slept",
        "slept_ns",
        "stash",
        "switches",
        "tid",
        "uncovered",
    )

    def __init__(self, tid: int, abi: Abi, files: FileTable, coverage: Coverage) -> None:
        self.tid = tid
        self.abi = abi
        self.files = files
        self.coverage = coverage
        self.filters = 0  # of the process, when the call under way began
        self.fresh: list[int] = []  # descriptors made by the call under way, or not looked at yet
        self.uncovered = False  # a signal came before they were covered: every call stops it until they are
        self.in_call = False  # between entry and exit of a call that is looked at, or (without a filter) of any call
        self.decoder: Decoder | None = None  # of that call; None while it is not to be printed
        self.name = ""
        self.args: Args = ()
        self.head = ""
        self.entered_ns = 0  # wall clock
        self.clock_ns = 0  # monotonic
        self.end = ""  # of the line, but for how long the call lasted: ns
        self.lasted = 0
        self.printed = False  # the head is in the log already, as <unfinished ...>
        self.stash = 0  # what `enter` keeps for `leave`: a length before the call
        self.kept = ""  # and a text
        self.interrupted = ""  # the call that restart_syscall(2) goes on with
        self.muted = False  # the job before its execve: this is still us
        self.maker: Tracee | None = None  # who made it, until it has a line of its own
        self.parked = False  # a new child, held until its parent's report says what it shares
        self.page = 0  # address of a page in it that is ours, while a filter is being added
        self.children_share = 0  # CLONE_* flags of the clone(2) under way
        self.observed = False  # `decoder` is of a call that did not stop it, and in which it was seen asleep
        self.slept = b""  # such a call, as the kernel shows it, and since when; how often it had gone to sleep then
        self.slept_ns = (0, 0)
        self.switches = b""
        self.born = 0  # the child that it made, until the call returns


def parent_of(tid: int) -> int:
    """The process that a thread's process is a child of (proc_pid_stat(5)); -1 when it is gone."""
    try:
        return int(Path(f"/proc/{tid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return -1
