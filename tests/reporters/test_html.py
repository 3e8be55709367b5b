"""`--format html` without a browser: the file, its bounds, its policy, and what is masked in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.html import data as html_data
from systrace.reporters.html import opened, waterfall
from systrace.reporters.html.told import Told
from systrace.reporters.layout import Layout
from systrace.traffic.conversations import Conversation, Said

CONNECT = """9 1700000100.000000 execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.200000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.2>
"""
HUNG = f"""{CONNECT}9 1700000101.000000 sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000010>
9 1700000101.100000 recvfrom(3,  <unfinished ...>
9 1700000700.000000 +++ killed by SIGKILL +++
"""


def analysed(text: str, **keep: bool) -> Analysis:
    wanted = REPORTERS["html"].keep
    assert wanted is not None
    return analyze([Input("job.strace", text.encode().splitlines(keepends=True))], keep=wanted | Keep(**keep))  # type: ignore[arg-type]


def page(analysis: Analysis) -> str:
    out = io.BytesIO()
    REPORTERS["html"].write(analysis, out, Layout(utc=True))
    return out.getvalue().decode()


class Parts(HTMLParser):
    """The elements of a page, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = dict(attrs).get("id") or tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.texts[self._in] = self.texts.get(self._in, "") + data


def shown(analysis: Analysis) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The data, and the connections that can be opened."""
    texts = Parts(page(analysis)).texts
    return json.loads(texts["data"]), [json.loads(line) for line in texts["details"].split("\n")[:-1]]


def test_nothing_else_than_its_own_script_and_style_may_run() -> None:
    parts = Parts(page(analysed(HUNG)))
    policy = next(a["content"] or "" for tag, a in parts.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-")
    for name in ("script", "style"):
        own = base64.b64encode(hashlib.sha256(parts.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{own}'" in policy
    names = {name for _tag, attributes in parts.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("style", "src")}
    assert {a.get("href") for _tag, a in parts.tags} - {None} == {"#waterfall"}


def test_a_hang_is_a_lane_with_a_wait() -> None:
    data, (connection,) = shown(analysed(HUNG))
    (lane,) = data["lanes"]
    rows = [lane["phases"][at : at + 5] for at in range(0, len(lane["phases"]), 5)]
    kinds = [(data["kinds"][row[0]], *row[1:]) for row in rows]
    assert kinds == [
        ("connect", 200_000, 200_000, 0, 0),
        ("silence", 400_000, 600_000, 0, 0),
        ("sent", 1_000_000, 10, 18, 0),
        ("waiting", 1_000_010, 598_999_990, 0, 0),
    ]
    assert (lane["peer"], lane["bad"], lane["causes"]) == ("192.0.2.1:80", True, ["idle-timeout"])
    assert [process["fate"] for process in data["processes"]] == ["killed by SIGKILL"]
    assert any(limit["s"] == 350 for limit in data["limits"])
    assert connection["said"] == [
        {"sent": True, "at": 1_000_000, "title": "sent 18 bytes, line 4", "text": ["GET / HTTP/1.1", ""]}
    ]
    assert [call[2:5] for call in connection["calls"]][1] == ["connect", "0", 200_000]
    assert dict(connection["facts"])["keepalive"] == "not set in this log"


def test_a_log_without_a_clock_has_its_lanes() -> None:
    data, _ = shown(analysed(re.sub(r"(?m)^9 \S+ ", "9 ", HUNG)))
    assert data["clock"]["kind"] == "none"
    assert data["lanes"][0]["phases"] == []


def test_a_secret_that_spans_calls_is_masked_everywhere() -> None:
    parts = [
        ("sendto", "GET / HTTP/1.1\\r\\nAuthorization: Bearer Tok3n"),
        ("sendto", "Tok3nTok3n\\r\\n\\r\\n"),
        ("recvfrom", "you said Tok3nTok3nTok3n"),
    ]
    sizes = [len(text.encode().decode("unicode_escape")) for _name, text in parts]
    lines = [
        f'9 1700000101.{at}00000 {name}(3, "{text}", {size}, 0, NULL, NULL) = {size} <0.00001>\n'
        for at, ((name, text), size) in enumerate(zip(parts, sizes, strict=True))
    ]
    log = CONNECT + "".join(lines)
    told = page(analysed(log))
    assert "Tok3n" not in told
    assert "*secret-" in told
    assert "Tok3nTok3nTok3n" in page(analysed(log, secrets=True))


def said(data: bytes, sent: bool = True, missing: int = 0) -> Said:
    return Said(sent, 0, 0, 1, data, missing, 0)


def test_the_rest_of_a_secret_behind_a_gap_is_not_shown() -> None:
    """Its beginning is not there, so nobody knows that it is one."""
    told = Told(analysed(HUNG).evidence)
    gap = Conversation([said(b"GET / HTTP/1.1\n")], [said(b"cretcret\nAccept: */*\n"), said(b"ok", False)], 10, 0, 1)
    first, note, rest, answer = opened.blocks(opened.Heard(gap, told), told, datagrams=False)
    assert first["text"] == ["GET / HTTP/1.1"]
    assert "10 bytes sent and 0 received in 1 calls are left out" in note["text"][0]["note"]
    assert [*rest["text"]] == [{"note": "9 bytes are not shown: what they go on with is left out"}, "Accept: */*"]
    assert answer["text"] == ["ok"]
    binary = Conversation([said(b"x")], [said(b"y" * 500), said(b"z" * 500)], 10, 0, 1)
    *_, shown = opened.blocks(opened.Heard(binary, told), told, datagrams=False)
    assert shown["text"][-1] == "z" * 400


def test_holes_and_bytes_that_are_no_text_are_told() -> None:
    told = Told(analysed(HUNG).evidence)
    holes = Conversation([said(b"abc", missing=7), said(bytes(range(32)), False)], [], 0, 0, 0)
    sent, received = opened.blocks(opened.Heard(holes, told), told, datagrams=False)
    assert sent["title"] == "sent 10 bytes, line 1"
    assert sent["text"] == ["abc", {"note": "7 bytes are not known: the log has no more of them (strace -s)"}]
    assert received["text"] == [{"note": "32 bytes, no text"}]


MORE = "".join(
    f'{10 + n} 1700000800.{n}00000 connect(5, {{sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("192.0.2.9")}}'
    ", 16) = 0 <0.01>\n"
    for n in range(3)
)


def test_numbers_are_bounded_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waterfall, "_MOST_LANES", 1)
    monkeypatch.setattr(waterfall, "_MOST_PROCESSES", 1)
    told = page(analysed(HUNG + MORE))
    data = json.loads(Parts(told).texts["data"])
    assert [lane["bad"] for lane in data["lanes"]] == [True]
    assert "in the chart; those with findings or troubles are: 1" in told


@pytest.mark.parametrize(("room", "left"), [(10, [1, 1, 1]), (1_000_000, [0, 0, 0])])
def test_details_have_the_room_that_is_left(monkeypatch: pytest.MonkeyPatch, room: int, left: list[int]) -> None:
    monkeypatch.setattr(html_data, "_DETAIL_BYTES", room)
    *lanes, counted = Parts(page(analysed(HUNG + MORE))).texts["details"].split("\n")
    assert json.loads(counted) == left
    assert json.loads(lanes[0])["said"]
    assert lanes[1:] == ["null"] or not left[0]


def test_exchanges_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "".join(
        f'9 1700000101.{n}00000 sendto(3, "GET /{n} HTTP/1.1\\r\\n\\r\\n", 19, 0, NULL, 0) = 19 <0.00001>\n'
        f'9 1700000101.{n}50000 recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 99, 0, NULL, NULL) = 19 <0.00001>\n'
        for n in range(7)
    )
    analysis = analysed(CONNECT + asked)

    def urls() -> list[str]:
        return [row[4][-2:] for row in shown(analysis)[0]["exchanges"]]

    everything = urls()
    assert everything[:2] == ["/0", "/1"]
    monkeypatch.setattr(html_data, "_EXCHANGES", 4)
    assert urls() == everything[:2] + everything[-2:]
    monkeypatch.setattr(html_data, "_EXCHANGE_BYTES", 300)
    assert urls() == [everything[0], everything[-1]]


def test_many_short_phases_become_few() -> None:
    calls = "".join(
        f'9 {1700000102 + n * 0.01:.6f} {"sendto" if n % 2 else "recvfrom"}(3, "x", 1, 0, NULL, NULL) = 1 <0.00001>\n'
        for n in range(600)
    )
    analysis = analysed(CONNECT + calls)
    (socket,) = analysis.evidence.sockets.values()
    found = waterfall._phases(analysis, socket, 24)
    assert len(found) <= 24
    assert (sum(each.sent for each in found), sum(each.received for each in found)) == (300, 300)
    assert [each.kind for each in found][:2] == ["connect", "silence"]


def test_decrypted_messages_are_shown_as_text() -> None:
    """Where the bytes themselves are encrypted, what went over the connection tells nothing."""
    analysis = analysed(
        CONNECT
        + r"""9 1700000101.000000 sendto(3, "GET /?token=Tok3nTok3n HTTP/1.1\r\nHost: a\r\n\r\n", 44, 0, NULL, 0) = 44 <0.00001>
9 1700000101.100000 recvfrom(3, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 99, 0, NULL, NULL) = 40 <0.1>
"""
    )
    (socket,) = analysis.evidence.sockets.values()
    told = Told(analysis.evidence)
    request, reply = opened.messages(socket.messages, told, sealed=True)
    assert request["text"][1:] == ["Host: a", ""]
    assert "Tok3n" not in request["text"][0]
    assert reply["text"][-1] == "ok"
    assert "text" not in opened.messages(socket.messages, told, sealed=False)[0]


def test_the_script_knows_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = analysed(HUNG)
    monkeypatch.setenv("TZ", "UTC-05:30")
    time.tzset()
    try:
        here, utc = (html_data.PageData(analysis, Layout(utc=utc)).script for utc in (False, True))
    finally:
        monkeypatch.undo()
        time.tzset()
    first = [json.loads(each)["clock"]["first"] for each in (here, utc)]
    assert first == [(1_700_000_100 + 19_800) * 1_000_000, 1_700_000_100_000_000]
