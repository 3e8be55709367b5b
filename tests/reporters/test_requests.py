"""Each HTTP request with its answer: as rows, in JSON, as a table."""

from __future__ import annotations

import io
import json
import re
import struct

import pytest
from jsonschema import Draft202012Validator

from systrace.messages.transactions import Transaction, transactions
from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters.layout import Layout
from systrace.reporters.shapes.plain import as_dict, transaction_dicts
from systrace.reporters.shapes.schema import schema
from systrace.reporters.views.request_table import requests_table, write_requests
from tests.reporters.spoken import CONNECT, Move, heard, log, quoted

ASK = b"GET /a?token=xyzzy HTTP/1.1\r\nHost: api.example\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: api.example\r\nContent-Length: 4\r\n\r\nbody"
FINE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"
BAD = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"


def rows(text: str) -> list[Transaction]:
    return transactions(heard(text)[0].evidence)


def test_times_and_sizes_of_two_requests_on_one_connection() -> None:
    said: list[Move] = [(True, ASK, 0), (False, FINE[:-1], 0), (False, FINE[-1:], 0), (True, POST, 0), (False, BAD, 0)]
    one, two = rows(log(said, step=0.5))
    assert (one.method, one.url, one.status) == ("GET", "http://api.example/a?token=*1***", 200)
    assert (one.connect_ns, one.reused) == (30_000_000, False)
    assert one.first_byte_ns == pytest.approx(500_000_000, abs=1000)  # its call began half a second later
    assert one.transfer_ns == pytest.approx(500_000_000, abs=1000)
    assert one.total_ns == pytest.approx(1_000_100_000, abs=1000)
    assert (one.request_bytes, one.response_bytes, one.content_type) == (0, 2, "application/json")
    assert (one.pid, one.command, one.role, one.line) == (9, "fetch", "client", 4)
    assert (two.method, two.status, two.reason, two.request_bytes) == ("POST", 502, "Bad Gateway", 4)
    assert (two.connect_ns, two.reused, two.complete, two.error) == (None, True, True, "")
    assert (one.dns_ns, one.tls_ns) == (None, None)


def test_requests_without_a_whole_answer() -> None:
    cut = rows(log([(True, ASK, 0), (False, FINE[:-1], 0)]))[0]
    assert (cut.status, cut.complete, cut.error) == (200, False, "eof")
    none = rows(log([(True, ASK, 0)]))[0]
    assert (none.status, none.complete, none.error) == (None, False, "no answer")
    assert (none.first_byte_ns, none.transfer_ns, none.total_ns) == (None, None, None)


def test_what_strace_cut_is_null_and_not_guessed() -> None:
    one = rows(log([(True, ASK[:32], 500), (False, FINE[:20], 100)]))[0]
    assert (one.method, one.url, one.status) == ("GET", "http://192.0.2.20:80/a?token=*1***", 200)
    assert (one.request_bytes, one.response_bytes, one.content_type, one.complete) == (None, None, None, None)
    assert rows(log([(True, b"GET /long/pa", 500), (False, FINE, 0)]))[0].url == "http://192.0.2.20:80/long/pa…"


def test_a_server_sees_its_requests_too() -> None:
    start = (
        "9 1700000100.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n"
        "9 1700000100.100000 listen(3, 5) = 0 <0.000010>\n"
        '9 1700000100.200000 accept(3, {sa_family=AF_INET, sin_port=htons(9999), sin_addr=inet_addr("192.0.2.1")}, '
        "[16]) = 4 <0.000010>\n"
    )
    text = log([(False, ASK, 0), (True, FINE, 0)], start=start)
    one = rows(text)[0]
    assert (one.role, one.method, one.status, one.socket) == ("server", "GET", 200, "S2")


def dns(name: str, answer: bool) -> bytes:
    """A query for an address, or its answer 192.0.2.20 (RFC 1035 4)."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0"
    flags = 0x8180 if answer else 0x0100
    message = struct.pack(">6H", 7, flags, 1, int(answer), 0, 0) + labels + struct.pack(">2H", 1, 1)
    return message + struct.pack(">3HIH4B", 0xC00C, 1, 1, 60, 4, 192, 0, 2, 20) if answer else message


def test_the_look_up_counts_for_the_connection_that_follows() -> None:
    query, answer = dns("api.example", False), dns("api.example", True)
    start = (
        "9 1700000099.000000 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 5 <0.000010>\n"
        '9 1700000099.100000 connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}, 16) '
        "= 0 <0.000010>\n"
        f"9 1700000099.200000 sendto(5, {quoted(query)}, {len(query)}, 0, NULL, 0) = {len(query)} <0.000010>\n"
        f"9 1700000099.300000 recvfrom(5, {quoted(answer)}, 2048, 0, NULL, NULL) = {len(answer)} <0.050000>\n"
        "9 1700000099.400000 close(5) = 0 <0.000010>\n"
    )
    text = log([(True, ASK, 0), (False, FINE, 0), (True, ASK, 0), (False, FINE, 0)], start=start + CONNECT)
    one, two = rows(text)
    assert one.dns_ns == pytest.approx(150_000_000, abs=1000)
    assert two.dns_ns is None
    without_numbers = re.sub(r"^9 ", "", text, flags=re.MULTILINE)
    assert rows(without_numbers)[0].dns_ns == one.dns_ns


def hello(client: bool) -> bytes:
    """A TLS 1.2 hello in a record (RFC 5246 7.4.1), the client's with a server name and ALPN."""
    body = b"\x03\x03" + bytes(32) + b"\0"
    if client:
        name = b"api.example"
        sni = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
        alpn = struct.pack(">HB", 9, 8) + b"http/1.1"
        extensions = struct.pack(">HH", 0, len(sni)) + sni + struct.pack(">HH", 16, len(alpn)) + alpn
        body += b"\0\2\x13\x01\1\0" + struct.pack(">H", len(extensions)) + extensions
    else:
        body += b"\xc0\x2f\0"
    handshake = bytes([1 if client else 2]) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(handshake)) + handshake


def test_a_tls_connection_is_one_row() -> None:
    record = b"\x17\x03\x03\0\x10" + bytes(16)
    said: list[Move] = [(True, hello(True), 0), (False, hello(False), 0), (True, record, 0), (False, record, 0)]
    one = rows(log(said, step=0.25))[0]
    assert (one.method, one.url, one.status, one.error) == (None, "https://api.example:80/", None, "encrypted")
    assert one.tls_ns == pytest.approx(250_100_000, abs=1000)
    assert one.connect_ns == 30_000_000


def test_connect_through_a_proxy_has_the_handshake_behind_it() -> None:
    ask = b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"
    said: list[Move] = [(True, ask, 0), (False, b"HTTP/1.1 200 OK\r\n\r\n", 0)]
    said += [(True, hello(True), 0), (False, hello(False), 0)]
    found = rows(log(said))
    assert [(row.method, row.url, row.status) for row in found] == [("CONNECT", "api.example:443", 200)]
    assert found[0].tls_ns == pytest.approx(1_100_000, abs=1000)


def test_every_request_of_a_long_connection() -> None:
    text = log([(True, ASK, 0), (False, FINE, 0)] * 200)
    inputs = [Input("job.strace", text.encode().splitlines(keepends=True))]
    every = analyze(inputs, keep=Keep(requests=True))
    assert len(transactions(every.evidence)) == 200
    assert all(row.status == 200 for row in transactions(every.evidence))
    few = analyze(inputs)
    assert len(transactions(few.evidence)) < 200
    assert any("messages of long connections are not kept" in line for line in requests_table(few, Layout(200)))


def test_json_fits_the_schema() -> None:
    analysis = heard(log([(True, ASK, 0), (False, FINE, 0), (True, POST, 0)]))[0]
    Draft202012Validator(schema("report")).validate(json.loads(json.dumps(as_dict(analysis))))
    out = io.BytesIO()
    write_requests(analysis, out, "json")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == transaction_dicts(analysis.evidence)
    for line in lines:
        Draft202012Validator(schema("requests")).validate(line)
    assert (lines[0]["time_s"], lines[0]["file"], lines[1]["error"]) == (1.0, "job.strace", "no answer")


def test_table() -> None:
    analysis = heard(log([(True, ASK, 0), (False, FINE, 0), (True, POST, 0), (False, BAD, 0), (True, ASK, 0)]))[0]
    lines = requests_table(analysis, Layout(200))
    assert lines[0] == "Requests"
    assert lines[1].split() == "start s socket who method status connect first transfer sent got type, URL".split()
    assert lines[2].split()[:6] == ["1.000", "S1", "fetch[9]", "GET", "200", "30"]
    assert lines[2].endswith("application/json http://api.example/a?token=*1***")
    assert "502" in lines[3]
    assert lines[4].endswith("[no answer]")
    for width in (80, 100, 150):
        fitted = requests_table(analysis, Layout(width, fitted=True))
        assert all(len(line) <= width for line in fitted), width
        assert all(status in line for status, line in zip(("200", "502", "no answer"), fitted[2:], strict=True))
    assert requests_table(heard(log([(True, b"x", 0)]))[0], Layout())[0] == "No HTTP requests in this log."


def test_hostile_heads_stay_on_their_line() -> None:
    ask = b"GET /\x1b[2J\xe2\x80\xae HTTP/1.1\r\nHost: \x1b]0;x\x07\r\n\r\n"
    answer = b"HTTP/1.1 200 \x1b[31m\r\nContent-Type: a\x1b[0m\r\nContent-Length: 0\r\n\r\n"
    analysis = heard(log([(True, ask, 0), (False, answer, 0)]))[0]
    assert all(line.isprintable() for line in requests_table(analysis, Layout(200)))
