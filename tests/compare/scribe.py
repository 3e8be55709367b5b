"""Strace logs of a job that fetches, stores and reports, as different straces on different days would print them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from systrace import Input, analyze
from systrace.model import Analysis, Keep

JSON = '{"rows": [1, 2, 3]}'


@dataclass
class Style:
    """How one strace prints one run."""

    clock: str = "-ttt"
    pid: int = 4711
    port: int = 40112  # of the client
    fd: int = 3
    decorated: bool = True  # -yy
    old: bool = False  # the text of strace 4
    start: float = 1_795_000_000.25
    pace: float = 1.0  # times between calls as multiples
    one_file_each: bool = False  # -ff
    short: bool = False  # without -s: 32 bytes of each string


@dataclass
class Log:
    """Lines in order of time; methods are what a job does."""

    style: Style = field(default_factory=Style)
    now: float = 0.0
    calls: list[tuple[float, int, str, float]] = field(default_factory=list)  # when, task, text, how long
    sockets: int = 0

    def call(self, text: str, took: float = 0.0002, task: int = 0) -> None:
        """One line."""
        self.calls.append((self.now, task, text, took))
        self.now += (max(took, 0) + 0.0005) * self.style.pace

    def begins(self, *argv: str) -> None:
        """The job starts."""
        words = ", ".join(f'"{word}"' for word in argv)
        rest = "[/* 21 vars */]" if self.style.old else "0x7ffc0a1b2c38 /* 21 vars */"
        self.call(f'execve("/srv/{argv[0]}", [{words}], {rest}) = 0', 0.0008)

    def looks_up(self, name: str, address: str, code: int = 0) -> None:
        """The resolver's question and answer (A only)."""
        fd = self._fd()
        question = "".join(f"\\{len(part):o}{part}" for part in name.split(".")) + "\\0\\0\\1\\0\\1"
        size = len(name) + 2 + 4 + 12
        self.call(f"socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_IP) = {fd}")
        where = '{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}'
        self.call(f"connect({fd}, {where}, 16) = 0")
        ident = "\\22\\64"
        self.call(
            f'sendto({fd}, "{ident}\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0{question}", {size}, MSG_NOSIGNAL, NULL, 0) = {size}'
        )
        self.call(f"poll([{{fd={fd}, events=POLLIN}}], 1, 5000) = 1 ([{{fd={fd}, revents=POLLIN}}])", 0.002)
        known = "".join(f"\\{int(part):03o}" for part in address.split(".")) if address else ""
        answer = f"\\300\\f\\0\\1\\0\\1\\0\\0\\0<\\0\\4{known}" if known else ""
        size += 16 if known else 0
        head = f"{ident}\\201\\20{code}\\0\\1\\0\\{1 if known else 0}\\0\\0\\0\\0"
        self.call(f'recvfrom({fd}, "{head}{question}{answer}", 2048, 0, {where}, [28->16]) = {size}')
        self.call(f"close({fd}) = 0")

    def connects(self, address: str, port: int = 80, result: str = "0", took: float = 0.001, options: str = "") -> int:
        """A blocking connect; the descriptor."""
        fd = self._fd()
        self.call(f"socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = {fd}")
        self.call(f"setsockopt({fd}, SOL_TCP, TCP_NODELAY, [1], 4) = 0")
        if options:
            self.call(f"setsockopt({fd}, {options}) = 0")
        where = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{address}")}}'
        self.call(f"connect({fd}, {where}, 16) = {result}", took)
        return fd

    def asks(self, fd: int, text: str, task: int = 0) -> None:
        """Something is sent; `|` is a line end."""
        data = text.replace("|", "\\r\\n")
        size = len(data.encode().decode("unicode_escape"))
        self.call(f"sendto({fd}, {self._quoted(data)}, {size}, 0, NULL, 0) = {size}", task=task)

    def gets(self, fd: int, text: str, after: float = 0.01, task: int = 0) -> None:
        """Something is received; "" is the end."""
        data = text.replace("|", "\\r\\n")
        size = len(data.encode().decode("unicode_escape"))
        self.call(f"recvfrom({fd}, {self._quoted(data)}, 65536, 0, NULL, NULL) = {size}", after, task)

    def fetches(self, fd: int, target: str, body: str = JSON, after: float = 0.01, **more: str) -> None:
        """One request and its answer: `method`, `host`, `status`, `kind`, `length`."""
        method, host = more.get("method", "GET"), more.get("host", "api.example")
        length = more.get("length", str(len(body.encode().decode("unicode_escape"))))
        self.asks(fd, f"{method} {target} HTTP/1.1|Host: {host}|Accept: */*||")
        kind = more.get("kind", "application/json")
        head = f"HTTP/1.1 {more.get('status', '200 OK')}|Content-Type: {kind}|Content-Length: {length}||"
        self.gets(fd, head + body, after)

    def says(self, text: str) -> None:
        """To its error channel."""
        self.call(f'write(2, "{text}\\n", {len(text) + 1}) = {len(text) + 1}')

    def closes(self, fd: int) -> None:
        """close(2)."""
        self.call(f"close({fd}) = 0")

    def ends(self, status: int = 0) -> None:
        """exit_group(2) and the last line."""
        self.call(f"exit_group({status}) = ?", -1)
        self.call(f"+++ exited with {status} +++", -1)

    def _quoted(self, data: str) -> str:
        known = data.encode().decode("unicode_escape")
        if not self.style.short or len(known) <= 32:
            return f'"{data}"'
        return '"' + known[:32].replace("\r", "\\r").replace("\n", "\\n") + '"...'

    def _fd(self) -> int:
        self.sockets += 1
        return self.style.fd + self.sockets

    def lines(self) -> Iterator[tuple[int, str]]:
        """(thread, line without a PID) in order."""
        before = self.style.start
        for when, task, text, took in self.calls:
            moment = self.style.start + when
            took_text = f" <{took:.6f}>" if took >= 0 else ""
            yield self.style.pid + task, f"{self._clock(moment, before)}{text}{took_text}"
            before = moment

    def _clock(self, moment: float, before: float) -> str:
        style, day = self.style.clock, moment % 86400
        if style == "-ttt":
            return f"{moment:.6f} "
        if style == "-r":
            return f"{moment - before:12.6f} "
        if not style:
            return ""
        fraction = f".{int(day % 1 * 1_000_000):06}" if style == "-tt" else ""
        return f"{int(day // 3600):02}:{int(day // 60 % 60):02}:{int(day % 60):02}{fraction} "

    def inputs(self) -> list[Input]:
        """As `pipeline.analyze` takes them."""
        if not self.style.one_file_each:
            return [Input("job.strace", [f"{tid} {line}\n".encode() for tid, line in self.lines()])]
        files: dict[int, list[bytes]] = {}
        for tid, line in self.lines():
            files.setdefault(tid, []).append(f"{line}\n".encode())
        return [Input(f"job.strace.{tid}", lines, tid) for tid, lines in files.items()]

    def text(self) -> bytes:
        """As one file."""
        return b"".join(line for each in self.inputs() for line in each.lines)

    def analysis(self) -> Analysis:
        """For `compare`."""
        return analyze(self.inputs(), keep=Keep(exchanges=True))


def nightly(
    style: Style | None = None, address: str = "192.0.2.10", ids: Sequence[int] = (1, 2, 3), **more: float
) -> Log:
    """A run in which nothing is wrong: names, a token, some pages, a store, a report by mail."""
    log = Log(style or Style())
    log.begins("export.py", "--full")
    log.looks_up("api.example", address)
    fd = log.connects(address)
    for number in ids:
        log.fetches(fd, f"/v1/orders/{number}?since=2026-11-29", after=more.get("after", 0.01))
    log.fetches(fd, "/v1/done", method="POST", after=0.02)
    log.closes(fd)
    db = log.connects("192.0.2.40", 6379)
    log.asks(db, "*3|$3|SET|$8|last:run|$1|7|")
    log.gets(db, "+OK|", 0.004)
    log.closes(db)
    log.ends()
    return log
