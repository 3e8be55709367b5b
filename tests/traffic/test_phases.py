"""What a connection did when, from real lines."""

from __future__ import annotations

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.traffic.phases import Phase, phases

S = 1_000_000_000
BEGAN = 1_700_000_000
OPEN = """9 1700000100.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.100000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = RESULT
"""


def phases_of(*lines: str, result: str = "0 <0.200000>") -> list[Phase]:
    text = OPEN.replace("RESULT", result) + "".join(f"9 1700000{line}\n" for line in lines)
    analysis = analyze([Input("t", text.encode().splitlines(keepends=True))], keep=Keep(activity=True))
    evidence = analysis.evidence
    assert evidence.activity is not None
    socket = evidence.sockets["S1"]
    return phases(socket, evidence.activity.of(socket), evidence.source.last_ns)


def shape(found: list[Phase]) -> list[tuple[object, ...]]:
    return [(each.kind, *(round((ns - BEGAN * S) / S, 2) for ns in (each.start_ns, each.end_ns))) for each in found]


def test_a_request_an_answer_and_silence() -> None:
    found = phases_of(
        '100.500000 sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000010>',
        '100.600000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 99, 0, NULL, NULL) = 38 <1.400000>',
        "105.000000 close(3) = 0 <0.000010>",
        "106.000000 +++ exited with 0 +++",
    )
    assert shape(found) == [
        ("connect", 100.1, 100.3), ("silence", 100.3, 100.5), ("sent", 100.5, 100.5),
        ("waiting", 100.5, 102.0), ("received", 102.0, 102.0),
        ("silence", 102.0, 105.0),
    ]  # fmt: skip
    assert [(each.sent, each.received) for each in found if each.kind in ("sent", "received")] == [(18, 0), (0, 38)]


def test_what_never_came() -> None:
    refused = phases_of("101.000000 +++ exited with 1 +++", result="-1 ECONNREFUSED (Connection refused) <0.200000>")
    assert [(each.kind, each.text) for each in refused] == [("failed", "ECONNREFUSED")]
    reset = phases_of(
        '100.500000 sendto(3, "x", 1, 0, NULL, 0) = 1 <0.000010>',
        "100.600000 recvfrom(3, 0x7ffc, 99, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <3.0>",
        "104.000000 +++ exited with 1 +++",
    )
    assert ("error", 103.6, 103.6) in shape(reset)
    assert reset[-1].text == "ECONNRESET"
    hung = phases_of("100.500000 recvfrom(3,  <unfinished ...>", "160.000000 +++ killed by SIGKILL +++")
    assert shape(hung)[-1] == ("waiting", 100.3, 160.0)
    unused = phases_of("102.000000 close(3) = 0 <0.1>", "103.000000 +++ exited with 0 +++")
    assert shape(unused)[-1] == ("silence", 100.3, 102.0)


def test_a_log_without_a_clock() -> None:
    text = OPEN.replace("1700000100.000000 ", "").replace("1700000100.100000 ", "").replace("RESULT", "0")
    analysis = analyze([Input("t", text.encode().splitlines(keepends=True))], keep=Keep(activity=True))
    assert analysis.evidence.activity is not None
    assert phases(analysis.evidence.sockets["S1"], [], None) == []
