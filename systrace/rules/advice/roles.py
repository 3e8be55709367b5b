"""What a peer is, where that changes the advice: a cloud's instance metadata service, or a proxy (verdicts 4.2)."""

from __future__ import annotations

from systrace.messages.http import HttpRequest
from systrace.model import Draft, Socket, Step
from systrace.rules.case.index import Case
from systrace.rules.rule import RULES

_METADATA = ("169.254.169.254:80", "[fd00:ec2::254]:80")  # AWS; the first is Azure's and Google's, too


def refine(case: Case) -> None:
    """Give transport findings at such a peer its variant, and the causes and remedies that belong to it first."""
    for finding in case.findings:
        if not RULES[finding.cause].on_path:
            continue
        if finding.peer in _METADATA:
            _metadata_service(finding)
        elif (target := _proxied(case.evidence.sockets.get(finding.socket or ""))) is not None:
            _proxy(finding, target)


def _metadata_service(finding: Draft) -> None:
    finding.variant = "instance-metadata"
    finding.summary += " That address is the cloud's instance metadata service."
    if RULES[finding.cause].no_answer:
        cause = "IMDSv2 answers with hop limit 1: inside a container the answer never arrives"
        remedy = "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2, or task roles"
    else:
        cause = "the metadata service is disabled or blocked here (or this is not that cloud)"
        remedy = "off AWS: AWS_EC2_METADATA_DISABLED=true; behind a proxy: list the address in no_proxy"
    finding.causes.insert(0, cause)
    finding.remedy.insert(0, remedy)


def _proxied(socket: Socket | None) -> str | None:
    """The target that was asked for through the peer, when what was sent is a request to a proxy."""
    for message in socket.messages[:4] if socket is not None else ():
        if not isinstance(message, HttpRequest) or message.direction != "sent":
            continue
        if message.method == "CONNECT" or message.target.startswith(("http://", "https://")):
            return message.target[:100]
    return None


def _proxy(finding: Draft, target: str) -> None:
    finding.variant = "proxy"
    finding.summary += f" That peer is a proxy: it was asked for {target}."
    finding.causes.insert(0, "the proxy, or its way to the target, fails: not necessarily the target itself")
    finding.next_steps.insert(
        0, Step("env | grep -i _proxy", "then the same request without the proxy, and from the proxy's host")
    )
    finding.remedy.insert(0, "repair the proxy, or list the target in no_proxy")
