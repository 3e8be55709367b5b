"""`--format har`, by the schema of HAR 1.2 and by haralyzer."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from haralyzer import HarParser
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.rules import RULES
from systrace.rules.pages import full_trace

SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "har-1.2.json").read_text())["schemas"]


@cache
def validator() -> Draft7Validator:
    registry: Registry[Any] = Registry()
    for name, schema in SCHEMAS.items():
        here = {key: value for key, value in schema.items() if key not in ("$id", "$schema")}
        registry = registry.with_resource(name, Resource.from_contents(here, default_specification=DRAFT7))
    return Draft7Validator({"$ref": "har.json"}, registry=registry, format_checker=Draft7Validator.FORMAT_CHECKER)


def har(trace: str, secrets: bool = False) -> dict[str, Any]:
    keep = Keep(requests=True, secrets=secrets)
    out = io.BytesIO()
    REPORTERS["har"].write(analyze([Input("job.strace", trace.encode().splitlines(keepends=True))], keep=keep), out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def exchange(request: str, answer: str | None, end: str = "close(3) = 0 <0.1>") -> str:
    calls = [
        "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>",
        'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.250000>',
        f'sendto(3, "{request}", 9999, 0, NULL, 0) = {size(request)} <0.000010>',
        f'recvfrom(3, "{answer}", 9999, 0, NULL, NULL) = {size(answer)} <0.500000>' if answer is not None
        else 'recvfrom(3, "", 9999, 0, NULL, NULL) = 0 <0.5>',
        end, "+++ exited with 0 +++",
    ]  # fmt: skip
    return "".join(f"900 {1_700_000_100 + at}.000000 {call}\n" for at, call in enumerate(calls))


def size(text: str) -> int:
    return len(text.encode().decode("unicode_escape"))


@pytest.mark.parametrize("cause", list(RULES))
def test_the_schema(cause: str) -> None:
    found = har(full_trace(RULES[cause].fires))
    assert [error.message for error in validator().iter_errors(found)] == []
    assert found["log"]["_verdict"]["cause"]


def test_an_exchange() -> None:
    body = '{"a": 1}'
    answer = rf"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: s=1; Path=/\r\nContent-Length: 8\r\n\r\n{body}"
    found = har(exchange(r"GET /x?a=1&b=%20c HTTP/1.1\r\nHost: api.example\r\n\r\n", answer.replace('"', '\\"')))
    assert [error.message for error in validator().iter_errors(found)] == []
    [entry] = HarParser(found).har_data["entries"]
    assert (entry["request"]["method"], entry["request"]["url"]) == ("GET", "http://api.example/x?a=1&b=%20c")
    assert entry["request"]["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": " c"}]
    assert (entry["response"]["status"], entry["response"]["content"]["text"]) == (200, body)
    assert entry["timings"]["connect"] == 250
    assert entry["timings"]["wait"] == pytest.approx(1500, abs=1)  # from the request's last byte to the answer's first
    assert entry["startedDateTime"] == "2023-11-14T22:15:01.750000Z"  # the connect began at :01, and the request waited
    assert entry["time"] == pytest.approx(
        sum(entry["timings"][name] for name in ("connect", "send", "wait", "receive"))
    )
    assert (entry["connection"], entry["serverIPAddress"], entry["_pid"]) == ("S1", "192.0.2.1", 900)


def test_what_never_came_has_status_0() -> None:
    [entry] = har(exchange(r"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None))["log"]["entries"]
    assert entry["response"]["status"] == 0
    assert entry["_error"] == "no answer"
    assert entry["comment"].startswith("no answer")


def test_a_binary_body_is_base64() -> None:
    answer = r"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 8\r\n\r\n\x89PNG\x00\x01\x02\x03"
    [entry] = har(exchange(r"GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer))["log"]["entries"]
    content = entry["response"]["content"]
    assert content["encoding"] == "base64"
    assert base64.b64decode(content["text"]) == b"\x89PNG\x00\x01\x02\x03"


def test_no_secret_unless_asked_for() -> None:
    request = (
        r"POST /login?token=Tok3nTok3nTok3n HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cr3ts3cr3t\r\n"
        r"Cookie: session=c00kiec00kie\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 24"
        r"\r\n\r\npassword=hunter2hunter22"
    )
    answer = r"HTTP/1.1 200 OK\r\nSet-Cookie: session=n3wc00kien3w\r\nLocation: /?token=Tok3nTok3nTok3n\r\n\r\n"
    planted = ("Tok3nTok3nTok3n", "s3cr3ts3cr3t", "c00kiec00kie", "hunter2hunter22", "n3wc00kien3w")
    text = json.dumps(har(exchange(request, answer)))
    assert [secret for secret in planted if secret in text] == []
    shown = json.dumps(har(exchange(request, answer), secrets=True))
    assert [secret for secret in planted if secret not in shown] == []


def test_a_hostile_url_is_one() -> None:
    request = r"GET http://[::1/\342\200\256<script>\\x HTTP/1.1\r\nHost: \33[2J\r\n\r\n"
    found = har(exchange(request, r"HTTP/1.1 204 \33[31m\r\n\r\n"))
    assert [error.message for error in validator().iter_errors(found)] == []
