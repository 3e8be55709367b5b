"""Ask the proxy that the job asked for the same tunnel, without the job's credentials, and close it."""

from __future__ import annotations

import re

from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target, address_of, joined
from systrace.probes.tcp import Dial, dial, exchange, words_of
from systrace.words import payload

_CONNECT_S, _ANSWER_S = 4.0, 10.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@probe(
    separates="a proxy that is dead, refuses, or cannot reach the host itself",
    phase=0,
    most_s=_CONNECT_S + _ANSWER_S,
    fits=lambda target, _: target.proxy is not None,
)
def proxy(target: Target, asking: Round) -> None:
    """One CONNECT (RFC 9110 9.3.6)."""
    if target.proxy is None or not address_of(target.proxy[0]) or not asking.take(1):
        return
    where = joined(*target.proxy)
    each = Dial(*target.proxy)
    dial([each], asking.time_left(_CONNECT_S), keep=True)
    if each.socket is None:
        cause = {"refused": "connect-refused", "silent": "connect-timeout"}.get(each.outcome, "unreachable")
        said = words_of(each.errno) if each.errno else f"no answer within {each.took_s:.0f} s"
        asking.note("peer-listens", f"proxy {where}: {said}", subject=where, cause=cause, outcome=each.outcome)
        return
    asked = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: systrace-check\r\n\r\n".encode(
        "ascii", "replace"
    )
    with each.socket as one:
        try:
            came = exchange(one, asked, asking.time_left(_ANSWER_S), lambda came: b"\r\n\r\n" in came)
        except OSError as error:
            text = f"proxy {where}, asked for a tunnel to {target}: {error.strerror}"
            asking.note("path-blocked", text, subject=where, cause="reset-by-peer", how="proxy")
            return
    status = _STATUS.match(came)
    if status is None:
        text = f"proxy {where} did not answer CONNECT {target}: {payload(came, 40) if came else 'nothing came'}"
        asking.note(
            "path-blocked", text, subject=where, cause="slow-response" if not came else "protocol-mismatch", how="proxy"
        )
    elif status[1].startswith(b"2"):
        asking.note("path-open", f"proxy {where} opens a tunnel to {target}", subject=where, how="proxy")
    else:
        text = f"proxy {where} answers {int(status[1])} to CONNECT {target}"
        if status[1] == b"407":
            asking.note(
                "peer-listens", f"{text}: it wants credentials, which were not sent", subject=where, outcome="407"
            )
        else:
            asking.note(
                "path-blocked", text, subject=where, cause="http-error-status", how="proxy", status=int(status[1])
            )
