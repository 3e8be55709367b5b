"""Short traces of HTTP jobs, line by line, for the tests of the rules on content."""

from __future__ import annotations

from systrace.model import Analysis, Finding, Input
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace

HTML = "<!DOCTYPE html><html><title>502</title></html>"


def connect(pid: int, time: float, fd: int = 3, address: str = "192.0.2.7", port: int = 80) -> str:
    return (
        f"{pid} {time} connect({fd}, {{sa_family=AF_INET, sin_port=htons({port}), "
        f'sin_addr=inet_addr("{address}")}}, 16) = 0 <0.001>'
    )


def ask(pid: int, time: float, target: str = "/v1/rows", fd: int = 3, method: str = "GET", more: str = "") -> str:
    text = f"{method} {target} HTTP/1.1\\r\\nHost: api\\r\\n{more}\\r\\n"
    size = len(text.replace("\\r\\n", "12"))
    return f'{pid} {time} sendto({fd}, "{text}", {size}, 0, NULL, 0) = {size} <0.001>'


def got(
    pid: int, time: float, status: str, body: str = "", fd: int = 3, more: str = "", length: int | None = None
) -> str:
    size = len(body.replace('\\"', '"').replace("\\n", "n"))
    head = f"HTTP/1.1 {status}\\r\\n{more}Content-Length: {size if length is None else length}\\r\\n\\r\\n"
    total = len(head.replace("\\r\\n", "12")) + size
    return f'{pid} {time} recvfrom({fd}, "{head}{body}", 65536, 0, NULL, NULL) = {total} <0.001>'


def wrote(pid: int, time: float, text: str, fd: int = 2) -> str:
    return f'{pid} {time} write({fd}, "{text}", {len(text)}) = {len(text)} <0.001>'


def left(pid: int, time: float, status: int = 0) -> str:
    return f"{pid} {time} exit_group({status}) = ?\n{pid} {time + 0.001:.3f} +++ exited with {status} +++"


def forked(parent: int, child: int, time: float, command: str) -> str:
    return (
        f"{parent} {time} clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = {child} <0.001>\n"
        f'{child} {time + 0.01:.3f} execve("/usr/bin/{command}", ["{command}"], 0x7ffc) = 0 <0.001>'
    )


def judged(*lines: str) -> Analysis:
    return analyze([Input("content.strace", full_trace("\n".join(lines)).encode().splitlines(keepends=True))])


def blamed(analysis: Analysis) -> list[Finding]:
    return [f for f in analysis.findings if f.severity in ("fatal", "error")]
