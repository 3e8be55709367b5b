"""Rules look at each socket a fixed number of times, however many have the same trouble."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest

from systrace.model import Input
from systrace.pipeline import analyze

RECEIVES = b'7 1699999999.000000 recvfrom(2, "x", 9, 0, NULL, NULL) = 1 <0.000009>\n'  # such calls are in this log


def hung(number: int) -> str:
    """A request that nobody answers."""
    request = r"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    return f'7 {1700000000 + number / 1000:.6f} sendto({number + 3}, "{request}", 27, 0, NULL, 0) = 27 <0.000009>'


def conflicting(number: int) -> str:
    """A port that is in use."""
    address = f'{{sa_family=AF_INET, sin_port=htons({number % 60_000 + 1}), sin_addr=inet_addr("0.0.0.0")}}'
    began = 1700000000 + number / 1000
    return f"7 {began:.6f} bind({number + 3}, {address}, 16) = -1 EADDRINUSE (In use) <0.000009>"


def refused_by_half(number: int) -> str:
    """Of two services one refuses, each time; the other one is no help."""
    host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    peer = f'{{sa_family=AF_INET, sin_port=htons({80 + number % 2}), sin_addr=inet_addr("{host}")}}'
    began, end = 1700000000 + number / 10, "-1 ECONNREFUSED (Connection refused)" if number % 2 else "0"
    return (
        f"7 {began:.6f} socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000009>\n"
        f"7 {began + 0.01:.6f} connect(3, {peer}, 16) = {end} <0.000009>\n"
        f"7 {began + 0.02:.6f} close(3) = 0 <0.000009>"
    )


def seconds(line: Callable[[int], str], count: int) -> tuple[float, int]:
    """(CPU time, findings, equal ones counted) of so many sockets."""
    text = "".join(f"{line(number)}\n" for number in range(count))
    lines = [RECEIVES, *text.encode().splitlines(keepends=True)]
    gc.disable()  # what other tests have left is not to be looked through
    try:
        began = time.process_time()
        findings = analyze([Input("log", lines)]).findings
        return time.process_time() - began, sum(finding.count for finding in findings)
    finally:
        gc.enable()


@pytest.mark.parametrize(("line", "share"), [(hung, 0.5), (conflicting, 0.5), (refused_by_half, 0.5)])
def test_four_times_the_sockets_take_no_sixteen_times_as_long(line: Callable[[int], str], share: float) -> None:
    """`share`: of the sockets that have a finding."""
    ratio = 16.0
    for _ in range(3):
        (short, few), (long, many) = seconds(line, 2000), seconds(line, 8000)
        assert few >= 2000 * share
        assert many >= 8000 * share
        ratio = min(ratio, long / short)
    assert ratio < 9


def test_four_times_the_processes_take_no_sixteen_times_as_long() -> None:
    """Each with a connection of its own, and nobody's child as far as the log shows."""

    def lonely(number: int) -> str:
        pair = f"192.0.2.10:{number}->192.0.2.7:80"
        return f'{100_000 + number} {1700000000 + number / 1000:.6f} read(5<TCP:[{pair}]>, "A", 64) = 1 <0.000009>'

    ratio = min(seconds(lonely, 4000)[0] / seconds(lonely, 1000)[0] for _ in range(3))
    assert ratio < 9
