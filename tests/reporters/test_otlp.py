"""`--format otlp`, by OpenTelemetry's own protobuf."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.formats.otlp import Parent, parent_of
from systrace.rules import RULES
from systrace.rules.pages import full_trace
from tests.reporters.spoken import CONNECT, log

TRACE, PARENT, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a" * 32
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SAMPLES = sorted((Path(__file__).resolve().parents[2] / "samples").glob("*/*.strace*"))


def line(analysis: Analysis) -> bytes:
    out = io.BytesIO()
    REPORTERS["otlp"].write(analysis, out)
    assert out.getvalue().count(b"\n") == 1
    return out.getvalue()


def analysed(text: str) -> Analysis:
    keep = REPORTERS["otlp"].keep
    assert keep is not None
    return analyze([Input("job.strace", text.encode().splitlines(keepends=True))], keep=keep)


def accepted(report: bytes) -> list[Span]:
    """The spans as protobuf reads them: OTLP's JSON has ids in hexadecimal digits, protobuf's own has base64."""

    def in_base64(value: Any) -> Any:
        if isinstance(value, dict):
            ids = ("traceId", "spanId", "parentSpanId")
            return {
                key: base64.b64encode(bytes.fromhex(each)).decode() if key in ids else in_base64(each)
                for key, each in value.items()
            }
        return [in_base64(each) for each in value] if isinstance(value, list) else value

    request = json_format.Parse(json.dumps(in_base64(json.loads(report))), ExportTraceServiceRequest())
    spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    for span in spans:
        assert len(span.trace_id) == 16
        assert any(span.trace_id)
        assert len(span.span_id) == 8
        assert len(span.parent_span_id) in (0, 8)
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        assert span.name
        for link in span.links:
            assert (len(link.trace_id), len(link.span_id)) == (16, 8)
    assert len({span.span_id for span in spans}) == len(spans)
    return spans


def told(span: Any) -> dict[str, Any]:
    """The attributes of a span or an event."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def get(path: str, *headers: str) -> tuple[bool, bytes, int]:
    fields = "".join(f"{header}\r\n" for header in ("Host: api.example", *headers))
    return (True, f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode(), 0)


def spans_of(*moves: tuple[bool, bytes, int]) -> list[Span]:
    return accepted(line(analysed(log(moves))))


@cache
def of_rule(cause: str) -> bytes:
    return line(analysed(full_trace(RULES[cause].fires)))


@pytest.mark.parametrize("cause", list(RULES))
def test_the_collector_would_take_it(cause: str) -> None:
    """Whatever was found; and each finding is an event of the job's span."""
    root, *others = accepted(of_rule(cause))
    assert not root.parent_span_id
    assert cause in {event.name for event in root.events}
    assert all(told(event)["systrace.evidence"].values for event in root.events)
    assert {span.kind for span in others} <= {Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
def test_of_whole_recordings(path: Path) -> None:
    """Those that the samples have."""
    with path.open("rb") as file:
        accepted(line(analyze([Input(path.name, file)], keep=REPORTERS["otlp"].keep)))  # type: ignore[arg-type]


def test_names_are_those_of_the_conventions() -> None:
    """https://opentelemetry.io/docs/specs/semconv/http/http-spans/, as they are stable."""
    root, span = spans_of(get("/x?token=s3cr3ts3cr3t"), (False, OK, 0))
    found = told(span)
    assert (span.name, span.kind) == ("GET", Span.SPAN_KIND_CLIENT)
    assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
    assert found["http.request.method"] == "GET"
    assert found["url.full"].startswith("http://api.example/x?token=")
    assert "s3cr3t" not in found["url.full"]
    assert (found["server.address"], found["network.peer.address"]) == ("api.example", "192.0.2.20")
    assert (found["network.peer.port"], found["http.response.status_code"]) == (80, 200)
    assert "error.type" not in found
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert span.start_time_unix_nano == 1700000101 * 10**9


def test_what_failed_says_how() -> None:
    """A status of 400 and more by its number; no answer by what systrace found, to the end of the wait."""
    _root, bad = spans_of(get("/"), (False, OK.replace(b"200 OK", b"503 Busy"), 0))
    assert (told(bad)["error.type"], bad.status.code) == ("503", Status.STATUS_CODE_ERROR)
    waiting = CONNECT + (
        '9 1700000101.000000 sendto(4, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>\n'
        '9 1700000101.100000 recvfrom(4, "", 99, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <400.0>\n'
        "9 1700000501.100000 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n"
        "9 1700000501.200000 +++ killed by SIGTERM +++\n"
    )
    root, hung = accepted(line(analysed(waiting)))
    assert told(root)["error.type"] == told(root)["systrace.cause"] == told(hung)["error.type"]
    assert "http.response.status_code" not in told(hung)
    assert hung.end_time_unix_nano - hung.start_time_unix_nano >= 400 * 10**9
    assert root.status.code == Status.STATUS_CODE_ERROR


def test_unknown_methods_do_not_make_names() -> None:
    """They are the peer's to choose, without an end."""
    _root, span = spans_of((True, b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 0), (False, OK, 0))
    assert (span.name, told(span)["http.request.method"]) == ("HTTP", "_OTHER")
    assert told(span)["http.request.method_original"] == "BREW"


def test_the_traces_of_requests_are_joined() -> None:
    """One trace: the job is in it. The exchange is a child of what the header names."""
    root, joined, own = spans_of(
        get("/a", f"traceparent: 00-{TRACE}-{PARENT}-01"), (False, OK, 0), get("/b"), (False, OK, 0)
    )
    assert (joined.trace_id.hex(), joined.parent_span_id.hex()) == (TRACE, PARENT)
    assert root.trace_id.hex() == own.trace_id.hex() == TRACE
    assert not root.parent_span_id
    assert own.parent_span_id == root.span_id == joined.links[0].span_id


def test_several_traces_are_linked() -> None:
    """The job cannot be in all of them."""
    root, one, two = spans_of(
        get("/a", f"traceparent: 00-{TRACE}-{PARENT}-01"), (False, OK, 0),
        get("/b", f"traceparent: 00-{OTHER}-{PARENT}-00"), (False, OK, 0),
    )  # fmt: skip
    assert (one.trace_id.hex(), two.trace_id.hex()) == (TRACE, OTHER)
    assert root.trace_id.hex() not in (TRACE, OTHER)
    assert [link.trace_id.hex() for link in root.links] == [TRACE, OTHER]
    assert all(each.links[0].trace_id == root.trace_id for each in (one, two))


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (f"00-{TRACE}-{PARENT}-01", (TRACE, PARENT)),
        (f" 00-{TRACE}-{PARENT}-01 ", (TRACE, PARENT)),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", (TRACE, PARENT)),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ("", None),
        (None, None),
    ],
)
def test_only_valid_headers_count(header: str | None, wanted: Parent | None) -> None:
    """Trace Context, 3.2."""
    assert parent_of(header) == wanted


@pytest.mark.parametrize("status", [True, "1", [1], {"a": 1}, 10**30, None, -1, 1.5], ids=str)
def test_facts_of_a_recording_are_whatever_somebody_wrote(status: object) -> None:
    """A number, or nothing."""
    facts = {"format": 1, "job": ["x", "\x1b[2J"], "host": {"a": [1]}, "command": [1, None], "exit_status": status}
    root, *_ = accepted(line(analysed(f"# systrace: {json.dumps(facts)}\n" + log([get("/"), (False, OK, 0)]))))
    assert root.name.isprintable()


def test_it_is_the_same_each_time() -> None:
    """Whoever sends a recording twice has its spans once."""
    text = log([get("/"), (False, OK, 0)])
    assert line(analysed(text)) == line(analysed(text))
    assert line(analysed(text)) != line(analysed(text.replace("1700000101", "1700000102")))


def test_many_exchanges_are_bounded() -> None:
    """The first 5,000, those that failed before all others; how many are left out is said."""
    moves = [move for _ in range(5010) for move in (get("/"), (False, OK, 0))]
    moves += [get("/last"), (False, OK.replace(b"200 OK", b"500 Oh"), 0)]
    report = line(analysed(log(moves)))
    root, *spans = accepted(report)
    assert len(spans) == 5000
    assert told(root)["systrace.exchanges_left_out"] == 11
    assert told(spans[0])["error.type"] == "500"
    assert len(report) < 10 << 20
