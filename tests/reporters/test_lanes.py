"""`--format lanes`: one line a connection over time."""

from __future__ import annotations

import io
import re

import pytest

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.formats import lanes as format_lanes
from systrace.reporters.layout import Layout
from systrace.words import columns

HUNG = """900 1700000100.000000 execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>
900 1700000100.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
900 1700000100.100000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.2>
900 1700000120.000000 sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000010>
900 1700000120.100000 recvfrom(3,  <unfinished ...>
900 1700000600.000000 +++ killed by SIGKILL +++
"""


def lanes(text: str, layout: Layout) -> list[str]:
    analysis = analyze([Input("t", text.encode().splitlines(keepends=True))], keep=Keep(activity=True))
    out = io.BytesIO()
    REPORTERS["lanes"].write(analysis, out, layout)
    return out.getvalue().decode().splitlines()


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_a_hang_is_seen(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_lanes, "ascii_only", lambda: False)
    *_, ruler, process, lane = lanes(HUNG, Layout(width, fitted=True))
    assert "500 s" in ruler
    assert process == "job[900] killed by SIGKILL"
    assert columns(lane) <= width
    assert lane.startswith("S1 192.0.2.1:80")
    assert lane.index("▀") < lane.index("·") < lane.index("┃")
    assert bool(re.search("c─+▀", lane)) == (width >= 100)  # 20 s are less than a column else


def test_without_utf8_there_is_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_lanes, "ascii_only", lambda: True)
    lane = lanes(HUNG, Layout(80))[-1]
    assert lane.isascii()
    assert "c" in lane
    assert ">..." in lane
    assert "|" in lane


def test_what_cannot_be_drawn() -> None:
    assert lanes("900 1.0 getpid() = 1 <0.1>\n", Layout())[-1] == "No lanes: no connection in this log."
    timeless = "".join(
        line.partition(" ")[0] + " " + line.partition(" ")[2].partition(" ")[2] for line in HUNG.splitlines(True)
    )
    assert "no clock" in lanes(timeless, Layout())[-1]


def test_colours_only_where_asked() -> None:
    assert "\x1b" not in "".join(lanes(HUNG, Layout(80)))
    assert "\x1b[1;33m" in lanes(HUNG, Layout(80, colour=True))[-1]
