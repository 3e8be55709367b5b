"""`--format pcapng`: tshark reads in it what was said, and how connections began and ended."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pcapng
import pytest

from systrace.model import Input, Keep
from systrace.pipeline import analyze, session_keys
from systrace.reporters import REPORTERS
from systrace.rules import RULES
from systrace.rules.pages import full_trace
from tests.decoders.recordings import Recording
from tests.decoders.test_tshark import _NAMES, RECORDED
from tests.decoders.tshark import FIRST_PORT, PORTS, fields, fields_of

pytestmark = pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="not installed: tshark")
OPEN = "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>"
PEER = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}'
CONNECT = f"connect(3, {PEER}, 16) = "
NAME = (
    'getsockname(3, {sa_family=AF_INET, sin_port=htons(40000), sin_addr=inet_addr("192.0.2.9")}, [16]) = 0 <0.000010>'
)
GET = 'sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.000010>'
CLOSE = "close(3) = 0 <0.000010>"


def capture(text: str, path: Path, secrets: bool = False, keylog: Path | None = None) -> Path:
    keep = Keep(tape=True, secrets=secrets)
    lines = text.encode("latin-1").splitlines(keepends=True)
    analysis = analyze([Input("job.strace", lines)], keep=keep, keylog=session_keys(keylog))
    with path.open("wb") as out:
        REPORTERS["pcapng"].write(analysis, out)
    return path


def trace(*calls: str) -> str:
    return "".join(f"900 {1_700_000_100 + at}.000000 {call}\n" for at, call in enumerate(calls))


def tshark(path: Path, *names: str, display: str = "") -> list[list[str]]:
    argv = ["tshark", "-n", "-r", str(path), "-T", "fields", *(word for name in names for word in ("-e", name))]
    argv += ["-Y", display] if display else []
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.splitlines()]


def flags(path: Path) -> list[str]:
    """`SYN`, `SYN ACK`, ... of each segment, with `<` for those of the peer."""
    names = {1: "FIN", 2: "SYN", 4: "RST", 8: "PSH", 16: "ACK"}
    return [
        ("" if port == "80" else "<") + " ".join(name for bit, name in names.items() if int(bits, 16) & bit)
        for bits, port in tshark(path, "tcp.flags", "tcp.dstport", display="tcp")
    ]


# ------------------------------------------------------------------------------------------------- beginnings and ends


@needs_tshark
@pytest.mark.parametrize(
    ("calls", "shown"),
    [
        ([CONNECT + "-1 ECONNREFUSED (Connection refused) <0.1>"], ["SYN", "<RST ACK"]),
        ([CONNECT + "-1 ETIMEDOUT (Connection timed out) <0.9>"], ["SYN"]),
        ([CONNECT + "0 <0.1>", CLOSE], ["SYN", "<SYN ACK", "ACK", "FIN ACK"]),
        (
            [CONNECT + "0 <0.1>", GET, 'recvfrom(3, "", 99, 0, NULL, NULL) = 0 <0.1>', CLOSE],
            ["SYN", "<SYN ACK", "ACK", "PSH ACK", "<FIN ACK", "FIN ACK"],
        ),
        (
            [CONNECT + "0 <0.1>", GET, "recvfrom(3, 0x7ff, 99, 0, NULL, NULL) = -1 ECONNRESET (Connection reset) <0.1>", CLOSE],
            ["SYN", "<SYN ACK", "ACK", "PSH ACK", "<RST ACK"],
        ),
        (["recvfrom(3<TCP:[192.0.2.9:40000->192.0.2.1:80]>, \"x\", 9, 0, NULL, NULL) = 1 <0.1>"], ["<PSH ACK", "FIN ACK"]),
    ],
)  # fmt: skip
def test_how_a_connection_began_and_ended(calls: list[str], shown: list[str], tmp_path: Path) -> None:
    begun = [] if "TCP:[" in calls[0] else [OPEN]
    path = capture(trace(*begun, *calls, "+++ exited with 1 +++"), tmp_path / "x.pcapng")
    assert flags(path) == shown
    assert tshark(path, "_ws.malformed", display="_ws.malformed || ip.checksum.status == 0") == []
    comments = [row[0] for row in tshark(path, "frame.comment", display="frame.comment")]
    assert comments
    assert all("line " in comment or "S1" in comment for comment in comments)


@needs_tshark
def test_errors_that_came_by_icmp(tmp_path: Path) -> None:
    unreachable = trace(OPEN, CONNECT + "-1 EHOSTUNREACH (No route to host) <0.9>", "+++ exited with 1 +++")
    path = capture(unreachable, tmp_path / "x.pcapng")
    assert tshark(path, "icmp.type", "icmp.code", "_ws.malformed", display="icmp") == [["3", "1", ""]]
    datagram = trace(
        "socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.1>", CONNECT + "0 <0.1>",
        'sendto(3, "hello", 5, 0, NULL, 0) = 5 <0.1>', "recvfrom(3, 0x7ff, 9, 0, NULL, NULL) = -1 ECONNREFUSED (Refused) <0.1>",
        "+++ exited with 1 +++",
    )  # fmt: skip
    path = capture(datagram, tmp_path / "y.pcapng")
    assert tshark(path, "icmp.type", "icmp.code", "udp.dstport", display="icmp") == [["3", "3", "80"]]


@needs_tshark
def test_ipv6(tmp_path: Path) -> None:
    name = (
        'sin6_port=htons(53), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0'
    )
    calls = [
        "socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.1>", f"connect(3, {{sa_family=AF_INET6, {name}}}, 28) = 0 <0.1>",
        'sendto(3, "\\22\\64\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\7example\\0\\0\\1\\0\\1", 27, 0, NULL, 0) = 27 <0.1>',
        "recvfrom(3, 0x7ff, 9, 0, NULL, NULL) = -1 ECONNREFUSED (Refused) <0.1>", "+++ exited with 1 +++",
    ]  # fmt: skip
    path = capture(trace(*calls), tmp_path / "x.pcapng")
    argv = ["tshark", "-n", "-r", str(path), "-o", "udp.check_checksum:TRUE", "-T", "fields"]
    argv += [
        word
        for field in ("dns.qry.name", "udp.checksum.status", "icmpv6.type", "icmpv6.code", "_ws.malformed")
        for word in ("-e", field)
    ]
    rows = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert rows[0].split("\t")[:3] == ["a.example", "1", ""]
    assert rows[1].split("\t")[2:] == ["1", "4", ""]


# --------------------------------------------------------------------------------------------------------- what was said


def written(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def conversation(number: int, recording: Recording) -> Iterable[str]:
    """A log of the client's calls."""
    ends = f"192.0.2.1:{FIRST_PORT + number}->192.0.2.2:{PORTS[recording.protocol]}"
    fd = f"{number + 5}<{'UDP' if recording.datagrams else 'TCP'}:[{ends}]>"
    for by_client, data, _ in recording.said:
        call = "sendto" if by_client else "recvfrom"
        yield f'{call}({fd}, "{written(data)}", 999999, 0, NULL, 0) = {len(data)} <0.000001>'


@needs_tshark
def test_tshark_reads_what_was_said(tmp_path: Path) -> None:
    """The same fields as in a capture that the tests write by themselves; TLS is decrypted by keys within the file."""
    calls = [call for number, recording in enumerate(RECORDED) for call in conversation(number, recording)]
    text = "".join(f"900 {1_700_000_100 + at // 1000}.{at % 1000:03}000 {call}\n" for at, call in enumerate(calls))
    keys = tmp_path / "keylog"
    keys.write_text("".join(recording.keylog for recording in RECORDED))
    path = capture(text, tmp_path / "all.pcapng", secrets=True, keylog=keys)
    ours, theirs = fields_of(path, RECORDED, _NAMES, tmp_path), fields(RECORDED, _NAMES, tmp_path)
    for recording, here, there in zip(RECORDED, ours, theirs, strict=True):
        if recording.protocol != "memcached":  # of the commands in one segment Wireshark reads the first
            assert here == there, recording.name
    malformed = {row[0] for row in tshark(path, "_ws.col.Protocol", display="_ws.malformed")}
    assert malformed <= {"Kafka", "SSHv2"}, "versions that this Wireshark does not know"
    decrypted = tshark(path, "http.request.method", display="tls && http.request")
    assert decrypted


@needs_tshark
def test_follow_is_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 700  # more than a packet holds
    calls = [OPEN, NAME, CONNECT + "0 <0.1>"]
    calls += [f'sendto(3, "{written(data)}", 999999, 0, NULL, 0) = {len(data)} <0.1>']
    calls += [
        f'recvfrom(3, "{written(data[:300])}", 999999, 0, NULL, NULL) = 300 <0.1>',
        CLOSE,
        "+++ exited with 0 +++",
    ]
    path = capture(trace(*calls), tmp_path / "x.pcapng")
    argv = ["tshark", "-n", "-r", str(path), "-q", "-z", "follow,tcp,raw,0"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    said = [line for line in lines if line.strip() and all(char in "0123456789abcdef\t" for char in line)]
    assert bytes.fromhex("".join(line for line in said if not line.startswith("\t"))) == data
    assert bytes.fromhex("".join(line for line in said if line.startswith("\t")).replace("\t", "")) == data[:300]


@needs_tshark
def test_what_was_cut_is_longer_than_what_was_captured(tmp_path: Path) -> None:
    cut = 'recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Le"..., 9999, 0, NULL, NULL) = 900 <0.1>'
    again = 'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 9999, 0, NULL, NULL) = 19 <0.1>'
    path = capture(
        trace(OPEN, CONNECT + "0 <0.1>", GET, cut, GET, again, "+++ exited with 0 +++"), tmp_path / "x.pcapng"
    )
    rows = tshark(path, "frame.len", "frame.cap_len", display="tcp.flags.push==1 && tcp.srcport==80")
    assert rows[0] == ["940", "67"]
    assert rows[1][0] == rows[1][1]
    assert tshark(path, "http.response.code", display="http.response.code==204") == [["204"]]
    assert tshark(path, "frame.number", display="tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment") == []


@needs_tshark
@pytest.mark.parametrize("cause", [cause for cause in RULES if cause != "tls-error"])  # whose hello is made up
def test_no_example_is_malformed(cause: str, tmp_path: Path) -> None:
    path = capture(full_trace(RULES[cause].fires), tmp_path / "x.pcapng")
    assert tshark(path, "frame.number", "_ws.col.Protocol", display="_ws.malformed || tcp.analysis.lost_segment") == []


# ------------------------------------------------------------------------------------------------------- what is shared


def test_secrets_are_masked_and_keys_are_kept_back(tmp_path: Path) -> None:
    login = GET.replace("Host: a", "Authorization: Bearer s3cr3ts3cr3t").replace("27", "56")
    echo = 'recvfrom(3, "HTTP/1.1 200 OK\\r\\n\\r\\ns3cr3ts3cr3t", 999, 0, NULL, NULL) = 31 <0.1>'
    keys = tmp_path / "keys"
    keys.write_text(f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n")
    text = trace(OPEN, CONNECT + "0 <0.1>", login, echo, "+++ exited with 0 +++")
    masked = capture(text, tmp_path / "x.pcapng", keylog=keys).read_bytes()
    shown = capture(text, tmp_path / "y.pcapng", secrets=True, keylog=keys).read_bytes()
    assert b"s3cr3t" not in masked
    assert b"*secret-1***" in masked
    assert b"cdcdcd" not in masked
    assert shown.count(b"s3cr3ts3cr3t") == 2
    assert f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n".encode() in shown


def moved(data: bytes, call: str = "recvfrom", cut: int = 0) -> str:
    """A call that moves these bytes, with strace's -xx; `cut`: so many, of which -s shows the first."""
    escaped, size = "".join(f"\\x{byte:02x}" for byte in data), cut or len(data)
    return f'{call}(3, "{escaped}"{"..." if cut else ""}, {size}, 0, NULL, 0) = {size} <0.1>'


PACKED = gzip.compress(b"secret", mtime=0)
CODED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED)
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
FRAME = b"\x81\x86mask" + bytes(a ^ b for a, b in zip(b"secret", b"maskma", strict=True))


@needs_tshark
@pytest.mark.parametrize(
    ("calls", "kept"),
    [
        ([moved(CODED + PACKED)], CODED),
        ([moved(CODED[:30]), moved(CODED[30:] + PACKED[:9]), moved(PACKED[9:])], CODED[30:]),
        ([moved(CODED), moved(PACKED), moved(PLAIN)], PLAIN),
        ([moved(PLAIN + CODED + PACKED), moved(PLAIN)], PLAIN + CODED),
        ([moved(PLAIN[:6]), moved(PLAIN[6:] + CODED[:4]), moved(CODED[4:] + PACKED)], CODED[4:]),
        ([moved(CODED[:30], cut=len(CODED)), moved(PACKED), moved(PLAIN)], PLAIN),
        ([moved(PACKED), moved(PLAIN)], PLAIN),
        ([moved(UPGRADED), moved(FRAME, "sendto"), moved(b"\x81\x05" + PACKED[:5])], UPGRADED),
    ],
    ids=[
        "at once",
        "in parts",
        "and a plain one",
        "pipelined",
        "torn heads",
        "a head that is cut",
        "a body without its head",
        "after an upgrade",
    ],
)
def test_what_would_have_to_be_unpacked_is_held_back(calls: list[str], kept: bytes, tmp_path: Path) -> None:
    text = trace(OPEN, CONNECT + "0 <0.1>", GET, *calls, "+++ exited with 0 +++")
    path = capture(text, tmp_path / "x.pcapng")
    assert kept in path.read_bytes()
    secret = FRAME[6:] if kept == UPGRADED else PACKED[10:18]
    assert secret not in path.read_bytes()
    assert PACKED[:4] not in path.read_bytes()
    assert PACKED[9:13] in capture(text, tmp_path / "y.pcapng", secrets=True).read_bytes() or kept == UPGRADED
    assert tshark(path, "frame.number", display="_ws.malformed || tcp.analysis.lost_segment") == []


def test_another_reader(tmp_path: Path) -> None:
    answer = 'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 9999, 0, NULL, NULL) = 19 <0.1>'
    data = capture(trace(OPEN, NAME, CONNECT + "0 <0.1>", GET, answer, CLOSE), tmp_path / "x.pcapng").read_bytes()
    found = list(pcapng.FileScanner(io.BytesIO(data)))
    assert [type(block).__name__ for block in found[:3]] == ["SectionHeader", "InterfaceDescription", "NameResolution"]
    packets = [block for block in found if type(block).__name__ == "EnhancedPacket"]
    assert len(packets) == 6
    assert packets[3].timestamp == pytest.approx(1_700_000_103, abs=0.001)
    assert b"GET / HTTP/1.1" in packets[3].packet_data


def test_a_log_without_network_and_one_without_a_clock(tmp_path: Path) -> None:
    assert (
        len(list(pcapng.FileScanner(io.BytesIO(capture("9 getpid() = 9\n", tmp_path / "x.pcapng").read_bytes())))) == 3
    )
    timeless = "".join(f"900 {call}\n" for call in (OPEN, CONNECT + "0", GET.partition(" <")[0]))
    found = list(pcapng.FileScanner(io.BytesIO(capture(timeless, tmp_path / "y.pcapng").read_bytes())))
    assert len([block for block in found if type(block).__name__ == "EnhancedPacket"]) == 4


# ------------------------------------------------------------------------------------------- several peers, odd numbers


def _datagram(name: str, host: int) -> str:
    peer = f'{{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.{host}")}}'
    return f'{name}(3, "abc", 3, 0, {peer}, {"16" if name == "sendto" else "[16]"}) = 3 <0.000010>'


@needs_tshark
def test_each_packet_has_the_peer_of_its_call(tmp_path: Path) -> None:
    refused = CONNECT + "-1 ECONNREFUSED (Connection refused) <0.000010>"
    second = CONNECT.replace("192.0.2.1", "192.0.2.2") + "0 <0.000010>"
    path = capture(trace(OPEN, refused, second, CLOSE), tmp_path / "a.pcapng")
    assert [(source, target) for source, target in tshark(path, "ip.src", "ip.dst")] == [
        ("0.0.0.0", "192.0.2.1"), ("192.0.2.1", "0.0.0.0"), ("0.0.0.0", "192.0.2.2"), ("192.0.2.2", "0.0.0.0"),
        ("0.0.0.0", "192.0.2.2"), ("0.0.0.0", "192.0.2.2"),
    ]  # fmt: skip
    udp = "socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.000010>"
    path = capture(
        trace(udp, _datagram("sendto", 53), _datagram("sendto", 54), _datagram("recvfrom", 54)), tmp_path / "u.pcapng"
    )
    assert tshark(path, "ip.src", "ip.dst") == [
        ["0.0.0.0", "192.0.2.53"], ["0.0.0.0", "192.0.2.54"], ["192.0.2.54", "0.0.0.0"]
    ]  # fmt: skip


@pytest.mark.parametrize("size", [2**63 - 1, 2**63, 10**20])
def test_a_size_that_cannot_be_is_one_packet(tmp_path: Path, size: int) -> None:
    received = f'recvfrom(3, "abc"..., 99, 0, NULL, NULL) = {size} <0.000010>'
    path = capture(trace(OPEN, CONNECT + "0 <0.000010>", received, CLOSE), tmp_path / "a.pcapng")
    assert path.stat().st_size < 4_000


@needs_tshark
def test_what_comes_after_unknown_bytes_has_the_right_sequence_number(tmp_path: Path) -> None:
    received = 'recvfrom(3, "abc"..., 9999999, 0, NULL, NULL) = 1999999 <0.000010>'
    last = 'recvfrom(3, "def", 99, 0, NULL, NULL) = 3 <0.000010>'
    path = capture(trace(OPEN, CONNECT + "0 <0.000010>", received, last), tmp_path / "a.pcapng")
    assert tshark(path, "tcp.seq", "tcp.len", display="tcp.srcport == 80 && tcp.len > 0") == [
        ["1", "65000"], ["65001", "65000"], ["2000000", "3"]
    ]  # fmt: skip


def test_a_port_or_a_time_that_cannot_be_is_no_traceback(tmp_path: Path) -> None:
    capture(trace(OPEN, CONNECT.replace("(80)", "(99999)") + "0 <0.000010>", GET), tmp_path / "a.pcapng")
    late = trace(OPEN, CONNECT + "0 <0.000010>", GET).replace(" 1700000", " 9999999999999")
    capture(late, tmp_path / "b.pcapng")
