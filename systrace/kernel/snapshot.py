"""The passive look at a live process tree: `Snapshot.take(pid)`.

`Snapshot.lines()` writes it as lines for the head of a recording. Each is `# systrace: ` and one JSON object with the
single key `snapshot`; its value always has `pid` (the process asked about) and `time` (epoch seconds), and any of the
lists below. A reader joins the lists of all lines; unknown keys are to be ignored, absent values are null.

    {"snapshot": {"pid": 4242, "time": 1795223946.509, "version": 1,
      "processes": [{"pid": 4242, "ppid": 1, "argv": ["python3", "job.py"], "name": "python3", "state": "S"}],
      "threads": [{"pid": 4242, "tid": 4242, "name": "python3", "state": "S", "call": "recvfrom",
                   "args": [5, 140000, 8192, 0, 0, 0], "fd": 5, "fds": [[5, "r"]], "limit": null,
                   "since": 1795223534.5, "wchan": "wait_woken"}],
      "sockets": [{"pid": 4242, "fd": 5, "inode": 991, "family": "inet", "type": "stream", "protocol": "tcp",
                   "local": "10.0.0.5:41000", "peer": "203.0.113.10:443", "state": "established",
                   "keepalive": {"on": false, "idle_s": 7200, "interval_s": 75, "count": 9}, "nonblock": false,
                   "rcvtimeo": null, "sndtimeo": null, "user_timeout": null, "unread": 0, "unsent": 0,
                   "last_data_sent_ms": 412000, "last_data_received_ms": 412500, "timer": "", "timer_ms": null,
                   "retransmits": 0}],
      "epoll": [{"pid": 4242, "fd": 4, "fds": [[5, "r"]]}],
      "limits": [{"what": "...", "why": "...", "mend": "..."}]}}

`since` is epoch seconds: when the thread was last on a CPU; `call` is null for a thread that is not in a call. `limit`,
`rcvtimeo`, `sndtimeo` and `user_timeout` are seconds. `local` and `peer` are written as `str(Endpoint)` writes them
(`unix:/path` for AF_UNIX). A socket that several processes hold appears once for each (pid, fd).
"""

from __future__ import annotations

from dataclasses import dataclass

from systrace.kernel.state import FileLock, Limit, ProcessState, SocketState, Thread


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A process and its descendants at one instant, as far as the kernel let us see."""

    pid: int
    time_ns: int  # epoch
    took_ns: int  # how long the look lasted
    kernel: str  # release
    processes: tuple[ProcessState, ...]  # the root first, then children
    sockets: tuple[SocketState, ...]
    locks: tuple[FileLock, ...]
    holders: dict[int, tuple[tuple[int, str], ...]]  # inode of a pipe's or socket's other end -> (pid, command)
    sysctls: dict[str, int]  # net.ipv4.tcp_* in the target's network namespace
    limits: tuple[Limit, ...]

    @classmethod
    def take(cls, pid: int) -> Snapshot:
        """Look at `pid` and its descendants; nothing in them is stopped, woken or changed.

        Raises:
            CaptureError: there is no such process.
        """
        raise NotImplementedError

    @property
    def root(self) -> ProcessState:
        """The process that was asked about."""
        return self.processes[0]

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All threads of the tree."""
        return tuple(thread for process in self.processes for thread in process.threads)

    def lines(self) -> list[bytes]:
        """The `# systrace: {json}` lines described above, each without a newline."""
        raise NotImplementedError
