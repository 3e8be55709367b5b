"""The name of a socket's peer: of several names of one address (a CDN, an ingress) the one that was meant."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.pipeline import analyze

ADDRESS = r"\300\14\0\1\0\1\0\0\0<\0\4\313\0q\n"  # 203.0.113.10


def look_up(at: float, name: str) -> list[str]:
    wire = "".join(rf"\{len(label):03o}{label}" for label in name.split("."))
    asked = rf"{wire}\0\0\1\0\1"
    server = '{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}'
    size = 12 + sum(len(label) + 1 for label in name.split(".")) + 5
    return [
        f"7 {at:.6f} socket(AF_INET, SOCK_DGRAM, 0) = 3 <0.000010>",
        f"7 {at:.6f} connect(3, {server}, 16) = 0 <0.000010>",
        rf'7 {at:.6f} sendto(3, "\0\7\1\0\0\1\0\0\0\0\0\0{asked}", {size}, 0, NULL, 0) = {size} <0.000010>',
        rf'7 {at + 0.1:.6f} recvfrom(3, "\0\7\201\200\0\1\0\1\0\0\0\0{asked}{ADDRESS}", 999, 0, NULL, NULL) = {size + 16}',
        f"7 {at + 0.2:.6f} close(3) = 0 <0.000010>",
    ]


def ask(at: float, host: str = "") -> list[str]:
    text = f"GET / HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n"
    size = len(text) - text.count("\\")
    lines = [
        f"7 {at:.6f} socket(AF_INET, SOCK_STREAM, 0) = 4 <0.000010>",
        f'7 {at:.6f} connect(4, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.10")}}, 16) = 0 <0.001>',
        f'7 {at + 0.1:.6f} sendto(4, "{text}", {size}, 0, NULL, 0) = {size} <0.000010>' if host else "",
        f"7 {at + 0.2:.6f} close(4) = 0 <0.000010>",
    ]
    return [line for line in lines if line]


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ([look_up(1, "pay.example"), ask(2)], ["pay.example"]),
        ([look_up(1, "pay.example"), look_up(2, "static.example"), ask(3)], ["static.example"]),
        ([look_up(1, "pay.example"), look_up(2, "static.example"), ask(3, "pay.example")], ["pay.example"]),
        ([look_up(1, "pay.example"), look_up(2, "static.example"), ask(3, "PAY.example:80")], ["pay.example"]),
        ([look_up(1, "pay.example"), ask(2), look_up(3, "static.example"), ask(4)], ["pay.example", "static.example"]),
        ([ask(1), look_up(2, "pay.example"), look_up(3, "static.example")], ["pay.example"]),
        ([look_up(1, "pay.example"), ask(2, "other.example")], ["pay.example"]),
    ],
)
def test_the_name_that_was_meant(steps: list[list[str]], names: list[str]) -> None:
    lines = [line.encode() + b"\n" for step in steps for line in step]
    sockets = analyze([Input("log", lines)]).evidence.sockets.values()
    assert [each.name for each in sockets if each.peer is not None and each.peer.port == 80] == names
