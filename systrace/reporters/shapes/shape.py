"""The shapes of the JSON outputs, from which their JSON Schemas are generated and against which mypy checks the code.

Fields are added freely, never renamed or given another meaning without raising the number in `schema`. Times are
seconds since the first record (`_s`); a value that the log does not show is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Outcome = Literal["failed", "hung", "degraded", "healthy", "inconclusive"]
Severity = Literal["fatal", "error", "warning", "info"]
Confidence = Literal["confirmed", "likely", "possible"]


class StyleShape(TypedDict):
    """What the options of the log were, as far as its lines show."""

    pid: Literal["none", "bare", "bracket", "file"]
    clock: Literal["none", "relative", "time-of-day", "epoch"]
    duration: Annotated[bool, "strace -T"]
    fd: Literal["plain", "path", "socket"]
    wrapper: Annotated[str | None, "what the log travelled through: docker, syslog, ..."]


class SourceShape(TypedDict):
    """Where the lines came from."""

    files: list[str]
    strace_version: str | None
    style: StyleShape
    first_time: Annotated[str | float | None, "the log's own clock at the first record: HH:MM:SS.ffffff or epoch"]
    span_s: float | None
    command: Annotated[list[str] | None, "the job and its arguments"]
    host: Annotated[Any, "of the recording, if systrace made it"]
    ended_by: Annotated[str | None, "the option of systrace that ended the job, and its signal; null as a rule"]


class MomentShape(TypedDict):
    """One event of the course that led to the verdict."""

    time_s: float | None
    who: Annotated[str, "the program, or who else saw it"]
    text: str
    link: Annotated[Literal["", "then", "therefore"], "to the one before"]
    file: str
    line: Annotated[int, "0: no line of a log"]


class VerdictShape(TypedDict):
    """The answer for the whole job."""

    outcome: Outcome
    cause: str
    peer: Annotated[str | None, "the culprit: ip:port, [ip6]:port, unix:/path"]
    finding: Annotated[int | None, "index into findings"]
    headline: str


class LineShape(TypedDict):
    """A line of the log that proves something."""

    file: str
    line: int
    time_s: Annotated[float | None, "when it began"]
    who: Annotated[str | None, "the program"]
    direction: Annotated[str | None, "sent, received, waited, said"]
    text: Annotated[str, "what happened, in words; the call itself where there are none for it"]
    raw: Annotated[str, "the call as the log prints it"]


class FindingShape(TypedDict):
    """What a rule found."""

    cause: str
    variant: str | None
    severity: Severity
    confidence: Confidence
    socket: Annotated[str | None, "id of a socket"]
    peer: str | None
    pid: int | None
    command: str | None
    time_s: float | None
    duration_s: float | None
    summary: str
    evidence: list[LineShape]
    causes: Annotated[list[str], "likely reasons, in order"]
    next_steps: Annotated[list[str], "commands that settle it"]
    remedy: list[str]
    refuted_by: Annotated[str, "what would show that this is wrong"]
    count: Annotated[int, "how many sockets show the same"]


class OwnerShape(TypedDict):
    """A process that held the socket, and its number there."""

    pid: int | None
    fd: int


class KeepaliveShape(TypedDict):
    """SO_KEEPALIVE and its timers, as far as the program set them."""

    on: bool | None
    idle_s: int | None
    interval_s: int | None
    count: int | None


class SocketShape(TypedDict):
    """One socket, through every descriptor and process that held it."""

    id: str
    family: str
    type: str
    local: str | None
    peer: str | None
    name: Annotated[str | None, "of the peer, from DNS answers in the same log"]
    role: str
    owners: list[OwnerShape]
    opened_s: float | None
    connect_s: Annotated[float | None, "how long the successful connect took"]
    closed_s: float | None
    bytes_sent: int
    bytes_received: int
    longest_silence_s: float | None
    keepalive: KeepaliveShape
    protocol: Annotated[str | None, "as its content proved it: http, tls, dns, ..."]
    state: str
    causes: Annotated[list[str], "causes of the findings on this socket"]


class ProcessShape(TypedDict):
    """A thread group."""

    pid: int | None
    ns_pid: Annotated[int | None, "its number in its own PID namespace (container), where that is another and known"]
    parent: int | None
    command: str
    argv: list[str]
    exit_code: int | None
    signal: str | None


class MessageShape(TypedDict):
    """A decoded protocol message."""

    socket: str
    direction: Literal["sent", "received"]
    time_s: float | None
    end_s: float | None
    protocol: str
    summary: str
    complete: bool


class TransactionShape(TypedDict):
    """An HTTP request and its answer; requests within TLS count as one for a connection."""

    socket: str
    role: Annotated[Literal["client", "server"], "what the traced process is"]
    pid: int | None
    command: str
    method: Annotated[str | None, "null: encrypted, or not in the log"]
    url: Annotated[str | None, "secrets in it are hidden"]
    status: int | None
    reason: str
    time_s: float | None
    dns_s: Annotated[float | None, "look-up of the host, before the first request of a connection"]
    connect_s: Annotated[float | None, "of the connection, at its first request"]
    tls_s: Annotated[float | None, "ClientHello until ServerHello"]
    first_byte_s: Annotated[float | None, "request until the answer's first byte"]
    transfer_s: Annotated[float | None, "the answer's first byte until its last"]
    total_s: float | None
    reused: Annotated[bool, "an earlier request went over this connection, or it is older than the log"]
    request_bytes: Annotated[int | None, "of the body as transferred"]
    response_bytes: Annotated[int | None, "of the body as transferred"]
    content_type: str | None
    complete: Annotated[bool | None, "the answer is proven to be whole"]
    error: Annotated[str | None, "why there is no whole answer"]
    file: str
    line: Annotated[int | None, "where the request, else its answer, begins"]
    server: NotRequired[Annotated[str, "what the server's own log says of it (--server-log)"]]


class HealthShape(TypedDict):
    """How well the log could be read."""

    lines: int
    records: int
    unparsed: int
    unparsed_samples: list[str]
    orphan_resumes: int
    foreign: Annotated[int, "lines of the traced program's own output"]
    clipped_strings: int
    limits: Annotated[list[str], "what the options hide"]
    damage: list[str]


class ReportShape(TypedDict):
    """`systrace parse --format json`: one object for each recording."""

    schema: Literal["systrace-report/1"]
    source: SourceShape
    verdict: VerdictShape
    findings: Annotated[list[FindingShape], "the heaviest first"]
    course: Annotated[list[MomentShape], "what led to the verdict, in order of time"]
    sockets: list[SocketShape]
    processes: list[ProcessShape]
    messages: list[MessageShape]
    transactions: list[TransactionShape]
    health: HealthShape


class CallShape(TypedDict):
    """`systrace events`: one object for each call, in order of completion."""

    line: Annotated[int, "where the call begins, from 1"]
    tid: Annotated[int | None, "strace's pid column; null while the log has not named the thread"]
    time: Annotated[float | None, "seconds on the log's own clock: epoch, or since midnight"]
    syscall: str
    fd: Annotated[int | None, "the descriptor that the call is about: its first argument"]
    retval: Annotated[int | None, "null for ?"]
    errno: Annotated[str | None, "symbolic, the kernel's ERESTART names included"]
    duration: Annotated[float | None, "seconds"]
    peer: Annotated[str | None, "as this very line shows it"]
    args: Annotated[str, "between the outer parentheses; bytes that are not UTF-8 as \\xNN"]
    outcome: Literal["returned", "restarted", "unfinished", "detached"]
    file: NotRequired[Annotated[str, "given when several files are read"]]


class PlaceShape(TypedDict):
    """A line of one of the logs."""

    file: str
    line: int
    time_s: Annotated[float | None, "since the first record of that log"]


class RunShape(TypedDict):
    """One of two runs."""

    files: list[str]
    job: Annotated[str | None, "its first command"]
    outcome: Outcome
    cause: str
    headline: str
    steps: Annotated[int, "processes, look-ups, connections and requests that are compared"]
    span_s: float | None


class DifferenceShape(TypedDict):
    """One difference, of one step or of several alike."""

    kind: Annotated[
        Literal[
            "cause",
            "outcome",
            "only-good",
            "only-bad",
            "peer",
            "request",
            "content",
            "size",
            "time",
            "option",
            "count",
            "arguments",
        ],
        "cause: a fault of BAD that GOOD has not got; outcome: another status, error or exit status of the same step",
    ]
    text: Annotated[str, "a sentence"]
    step: Annotated[str, "what was done, as BAD has it: GET http://api.example/v1/rows"]
    command: Annotated[str | None, "who did it"]
    peer: Annotated[str | None, "name:port, else address:port"]
    good: Annotated[str | None, "what it was there; null: there is none"]
    bad: str | None
    good_place: PlaceShape | None
    bad_place: PlaceShape | None
    count: Annotated[int, "steps that differ so"]
    of: Annotated[int, "steps of that kind"]
    failed: Annotated[bool, "BAD failed there"]


class ComparisonShape(TypedDict):
    """`systrace diff`: where two runs of one job differ."""

    schema: Literal["systrace-diff/1"]
    different: bool
    good: RunShape
    bad: RunShape
    alike: Annotated[int, "steps that both have, with the same result"]
    parted: Annotated[int | None, "index of the difference at which they part first"]
    differences: Annotated[list[DifferenceShape], "the most telling first"]
    unseen: Annotated[list[str], "what one of the logs does not show, so that it is not compared"]


# ------------------------------------------------------------------------------------------------------------- the cloud

WayOutcome = Literal["allowed", "blocked", "share", "unknown"]


class InterfaceShape(TypedDict):
    """From where the way begins."""

    interface: Annotated[str, "eni-...; empty: it was not found"]
    text: str


class WayVerdictShape(TypedDict):
    """What the configuration makes of the job's packets."""

    outcome: Annotated[
        Literal["allowed", "blocked", "share", "unknown", "idle"],
        "share: some ports or targets fail; idle: nothing blocks, but the job was silent for longer than the path bears",
    ]
    cause: Annotated[str, "of the catalogue; empty where there is none"]
    step: Annotated[str, "name of the step that decides; empty where none does"]
    text: str


class WayStepShape(TypedDict):
    """One filter, route or gateway, in the order of the way."""

    name: Annotated[str, "security-group-out, route, acl-in-answer, targets, ..."]
    outcome: WayOutcome
    at: Annotated[str, "id of the resource that decides"]
    text: Annotated[str, "the rule that decides"]
    share: Annotated[float | None, "of `share`: what part comes through, 0 to 1"]
    change: Annotated[str, "what to change"]
    ask: Annotated[str, "of `unknown`: what is missing, and whom to ask"]


class PathLimitShape(TypedDict):
    """What forgets a connection that is silent for longer."""

    at: str
    product: str
    idle_s: float
    after: Annotated[Literal["reset", "silent", "fin"], "what the next packet meets; fin: it is closed before that"]
    certain: Annotated[bool, "false: the default, as the setting was not read"]


class ObservationShape(TypedDict):
    """A fact that a recording may hold, and `parse` judges with."""

    kind: str
    subject: str
    value: Annotated[Any, "an object, by kind"]
    source: str
    when_ns: int | None
    where: str


class FlowSeenShape(TypedDict):
    """What flow logs say of the connection at one interface."""

    outcome: Literal["rejected-out", "rejected-in", "answer-rejected", "lost", "innocent", "mixed", "undecided"]
    text: str


class FlowLogsShape(TypedDict):
    """What was found in flow logs, and how to ask them."""

    seen: list[FlowSeenShape]
    insights: NotRequired[Annotated[str, "a query for CloudWatch Logs Insights"]]
    athena: NotRequired[Annotated[str, "a condition for Athena"]]


class WayShape(TypedDict):
    """`systrace aws`: the way from a job to one of its peers, one object a line."""

    schema: Literal["systrace-aws/1"]
    target: Annotated[str, "address:port"]
    name: Annotated[str, "that it was looked up by; empty where that is not known"]
    source: InterfaceShape
    verdict: WayVerdictShape
    steps: list[WayStepShape]
    limits: list[PathLimitShape]
    observations: list[ObservationShape]
    advice: list[str]
    flow_logs: FlowLogsShape
