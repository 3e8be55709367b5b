"""OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp): the spans of `--format otlp`, in one POST.

Headers, such as a token, come from OTEL_EXPORTER_OTLP_HEADERS, as OpenTelemetry's own exporters have it.
"""

from __future__ import annotations

import os
import re
import threading
from typing import IO, TYPE_CHECKING

from systrace import __version__
from systrace.errors import SystraceError, UsageError
from systrace.telemetry import TELL_SECONDS, JobRun, Outlet, outlet

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from urllib.request import Request

PATH = "/v1/traces"
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?|")
_MOST_ANSWER = 1 << 16  # bytes


@outlet
class Otlp(Outlet):
    """`--otlp URL`."""

    name = "otlp"
    takes = "URL"
    help = "Send the run and its HTTP exchanges as spans to an OpenTelemetry collector (http://localhost:4318)."
    report = "otlp"

    def checked(self, target: str) -> None:
        """It is a URL, and the headers are headers."""
        endpoint(target)
        _given_headers()

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Send what there is."""
        if report:
            post(target, bytes(report))


def endpoint(url: str) -> str:
    """Where spans go: the path is added where it is not there.

    >>> endpoint("http://localhost:4318")
    'http://localhost:4318/v1/traces'

    Raises:
        UsageError: no URL for HTTP, or one with a password in it, which every process of the machine could read.
    """
    from urllib.parse import urlsplit, urlunsplit

    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("--otlp: write a URL: http://localhost:4318")
    if "@" in parts.netloc:
        raise UsageError("--otlp: no password in the URL: set OTEL_EXPORTER_OTLP_HEADERS='authorization=...'")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(PATH) else path + PATH, fragment=""))


def post(url: str, body: bytes, most_s: float = TELL_SECONDS) -> None:
    """Send spans; returns, or raises, within `most_s` seconds, whatever hangs: a name, a connection, an answer.

    Raises:
        SystraceError: nobody took them; in one line.
    """
    where, failed = endpoint(url), [f"no answer within {most_s:g} s"]

    def send() -> None:
        try:
            _post(where, body, most_s)
        except Exception as error:  # noqa: BLE001 (a collector may answer whatever it likes)
            said = "" if isinstance(error, ValueError) else str(getattr(error, "reason", "") or error)
            failed[0] = said or type(error).__name__  # a ValueError quotes what it does not like: a header with a token
        else:
            failed.clear()

    sender = threading.Thread(target=send, name="otlp", daemon=True)  # a look-up has no time-out of its own
    sender.start()
    sender.join(most_s)
    if failed:
        raise SystraceError(f"{where.partition('?')[0]}: {failed[0]}: the spans are lost")


def _post(where: str, body: bytes, most_s: float) -> None:
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        """A redirect would turn it into a GET."""

        def redirect_request(
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> None:
            """Not followed."""

    headers = {"Content-Type": "application/json", "User-Agent": f"systrace/{__version__}", **_given_headers()}
    request = Request(where, data=body, headers=headers, method="POST")  # noqa: S310 (`endpoint` has checked it)
    with build_opener(Stay).open(request, timeout=most_s) as answer:
        answer.read(_MOST_ANSWER)


def _given_headers() -> dict[str, str]:
    """`name=value,name=value`, values percent-encoded (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

    Raises:
        UsageError: they are none (RFC 9110 5.6.2, 5.5).
    """
    from urllib.parse import unquote

    found: dict[str, str] = {}
    for variable in _HEADERS:
        for pair in os.environ.get(variable, "").split(","):
            name, equals, value = pair.partition("=")
            name, value = name.strip(), unquote(value.strip())
            if not equals:
                continue
            if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
                raise UsageError(f"{variable}: it is not NAME=VALUE,...")  # and holds secrets: not shown
            found[name] = value
    return found
