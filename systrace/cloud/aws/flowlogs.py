"""VPC flow logs of one connection: which filter dropped it, and who is innocent.

Security groups are stateful, so a rejected answer is always the network ACL's doing. SKIPDATA means that nothing was
written down, and no record at all that nothing is known: neither is an acquittal. A connection that was closed or
forgotten has late packets, which are rejected: that is no verdict on it.
Source: VPC user guide, flow log records and their examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.records import address
from systrace.cloud.aws.steps import FlowSeen
from systrace.dataclass import dataclass

REJECTED_OUT, REJECTED_IN, ANSWER_REJECTED, LOST, INNOCENT, MIXED, UNDECIDED = (
    "rejected-out", "rejected-in", "answer-rejected", "lost", "innocent", "mixed", "undecided",
)  # fmt: skip
_DEFAULT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
).split()
_LONGEST = 4096  # bytes of a record
AROUND_S = 900  # an interval of aggregation is at most 10 minutes, and is delivered some 5 later (VPC user guide)
_DIGITS = 12  # of a time
_LATE_S = 60  # start and end may be that far behind the packets (the same)


@dataclass(frozen=True, slots=True)
class Record:
    """One record; what its format leaves out is ""."""

    interface: str
    source: str  # of the packet itself, where NAT or a balancer changes it on the way
    target: str
    source_port: str
    target_port: str
    protocol: str
    action: str  # ACCEPT, REJECT
    status: str  # OK, NODATA, SKIPDATA
    start_s: int | None = None  # Unix time of the first packet, and of the last
    end_s: int | None = None


def read(lines: Iterable[str]) -> tuple[list[Record], int]:
    """Records of the default format, or of one whose first line names its fields (as in S3).

    CloudWatch's JSON (`aws logs filter-log-events`) is taken as well. Returns them and how many lines were none.
    """
    fields, found, strange = _DEFAULT, list[Record](), 0
    for line in lines:
        words = line[:_LONGEST].partition("#")[0].replace(",", " ").split()
        if "srcaddr" in words or "interface-id" in words:
            fields = words
            continue
        if fields is _DEFAULT and len(words) > len(fields):  # CloudWatch puts a time, or a stream, before
            words = words[-len(fields) :]
        if len(words) != len(fields):
            strange += bool(words)
            continue
        found.append(_record(dict(zip(fields, words, strict=True))))
    return found, strange


def lines_of(content: str) -> list[str]:
    """A file's lines; of CloudWatch's JSON its messages."""
    if content.lstrip().startswith("{"):
        try:
            told = json.loads(content)
        except (ValueError, RecursionError):
            return content.splitlines()
        events = told.get("events") if isinstance(told, dict) else None
        if isinstance(events, list):
            return [str(each.get("message", "")) for each in events if isinstance(each, dict)]
    return content.splitlines()


def _record(told: dict[str, str]) -> Record:
    def one(*names: str) -> str:
        return next((told[name] for name in names if told.get(name, "-") != "-"), "")

    return Record(
        one("interface-id"),
        one("pkt-srcaddr", "srcaddr"),
        one("pkt-dstaddr", "dstaddr"),
        one("srcport"),
        one("dstport"),
        one("protocol"),
        one("action"),
        one("log-status"),
        _time(one("start")),
        _time(one("end")),
    )


def _time(told: str) -> int | None:
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= _DIGITS else None


def within(records: Iterable[Record], when_s: tuple[float, float] | None) -> list[Record]:
    """Those that may be of a time (Unix); ports are used again, and rules are changed. Without times in them: all."""
    if when_s is None:
        return list(records)
    since, until = when_s[0] - AROUND_S, when_s[1] + AROUND_S
    return [
        each
        for each in records
        if (each.end_s is None or each.end_s >= since) and (each.start_s is None or each.start_s <= until)
    ]


def judge(
    records: Sequence[Record],
    interface: str,
    own: Sequence[str],
    question: Question,
    *,
    inbound: bool = False,
    number: str | None = None,
) -> FlowSeen:
    """What one interface's records say of a connection.

    Args:
        records: of any interfaces.
        interface: whose are looked at (eni-...).
        own: its addresses.
        question: peer, port, the job's ports. With `inbound`, the peer begins and the port is the interface's own.
        inbound: the connection comes in.
        number: of the protocol (IANA), where it is neither TCP nor UDP: "1".
    """
    here = [each for each in records if each.interface == interface]
    mine = {address(each) for each in own} - {None}
    protocol = number or question.number
    first, answers = list[Record](), list[Record]()
    for each in here:
        if each.protocol not in ("", protocol) or each.status in ("NODATA", "SKIPDATA"):
            continue
        if address(each.source) in mine and _fits(
            each.target, each.target_port, each.source_port, question, inbound=inbound
        ):
            (answers if inbound else first).append(each)
        elif address(each.target) in mine and _fits(
            each.source, each.source_port, each.target_port, question, inbound=inbound
        ):
            (first if inbound else answers).append(each)
    skipped = any(each.status == "SKIPDATA" for each in here)
    return _concluded(interface, first, answers, skipped=skipped, inbound=inbound)


def _fits(other: str, other_port: str, own_port: str, question: Question, *, inbound: bool) -> bool:
    """The far end is the peer, by its port, and by the job's where the log shows it."""
    if address(other) != address(question.peer):
        return False
    service, client = (own_port, other_port) if inbound else (other_port, own_port)
    if service and service != str(question.port):
        return False
    return not (question.seen and client.isdecimal() and len(client) < 6) or _has(question.answers, int(client))


def _has(ports: Ports, one: int) -> bool:
    return ports.common(one, one).count == 1


def _concluded(
    interface: str, first: list[Record], answers: list[Record], *, skipped: bool, inbound: bool
) -> FlowSeen:  # fmt: skip
    begun, answered = {each.action for each in first}, {each.action for each in answers}
    way, back = ("in", "out") if inbound else ("out", "in")
    if not first and not answers:
        why = "records were skipped (SKIPDATA)" if skipped else "there is no record of this connection"
        return FlowSeen(UNDECIDED, f"{why} at {interface}: not decided")
    if "" in begun | answered:
        seen = "both directions are" if first and answers else "one direction is"
        return FlowSeen(UNDECIDED, f"{seen} seen at {interface}, and the format has no action field: not decided")
    if "REJECT" in begun | answered and ("ACCEPT" in answered or len(begun) > 1):
        told = f"{interface} accepted packets of it, and rejected others: late ones of a connection that was closed or "
        return FlowSeen(MIXED, f"{told}forgotten, other ports, or rules that were changed: not decided")
    if begun == {"REJECT"}:
        told = f"{interface} rejected it on the way {way}: a security group or the network ACL"
        return FlowSeen(REJECTED_IN if inbound else REJECTED_OUT, told)
    if answered == {"REJECT"}:
        return _answer_rejected(interface, first, answers, (way, back))
    if not answers:
        if skipped:
            return FlowSeen(
                UNDECIDED, f"no answer is recorded at {interface}, but records were skipped (SKIPDATA): not decided"
            )
        told = f"{interface} let it {way}, and no answer came: it was dropped farther on, or not answered"
        if inbound:
            told = f"{interface} let it in, and the host answered nothing: its firewall, or nobody listens"
        return FlowSeen(LOST, told)
    return FlowSeen(
        INNOCENT, f"{interface} let both directions through: it is innocent, with its groups and network ACL"
    )


def _answer_rejected(interface: str, first: list[Record], answers: list[Record], ways: tuple[str, str]) -> FlowSeen:
    """Only answers of a request that is seen: others are strays, which a security group rejects as well."""
    way, back = ways
    if not first:
        told = f"{interface} rejected packets on the way {back}, and no record shows the way {way}: not decided"
        return FlowSeen(UNDECIDED, told)
    ends = [each.end_s for each in first if each.end_s is not None]
    starts = [each.start_s for each in answers if each.start_s is not None]
    late_s = min(starts) - max(ends) if starts and ends else 0
    if late_s > _LATE_S:
        told = f"{interface} rejected a packet on the way {back}, {late_s} s after the last one {way}: too late for an answer"
        return FlowSeen(UNDECIDED, f"{told}, not decided")
    told = (
        f"{interface} accepted it on the way {way} and rejected the answer on its way {back}: the network ACL, since "
    )
    return FlowSeen(ANSWER_REJECTED, f"{told}security groups let answers through")


def insights(interface: str, own: str, question: Question) -> str:
    """The query for CloudWatch Logs Insights of exactly this connection."""
    client = _client(question)
    out = f'srcAddr = "{own}" and dstAddr = "{question.peer}" and dstPort = {question.port}'
    back = f'srcAddr = "{question.peer}" and dstAddr = "{own}" and srcPort = {question.port}'
    if client:
        out, back = f"{out} and srcPort = {client}", f"{back} and dstPort = {client}"
    shown = "fields @timestamp, srcAddr, srcPort, dstAddr, dstPort, action, logStatus"
    return f'filter interfaceId = "{interface}" and (({out}) or ({back}) or logStatus = "SKIPDATA") | {shown} | sort @timestamp'


def athena(interface: str, own: str, question: Question) -> str:
    """The condition for Athena's table of flow logs."""
    client = _client(question)
    out = f"srcaddr = '{own}' AND dstaddr = '{question.peer}' AND dstport = {question.port}"
    back = f"srcaddr = '{question.peer}' AND dstaddr = '{own}' AND srcport = {question.port}"
    if client:
        out, back = f"{out} AND srcport = {client}", f"{back} AND dstport = {client}"
    return f"WHERE interface_id = '{interface}' AND (({out}) OR ({back}) OR log_status = 'SKIPDATA')"


def _client(question: Question) -> str:
    """The job's port, where it is one."""
    return str(question.answers) if question.seen and question.answers.count == 1 else ""
