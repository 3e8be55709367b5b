"""tshark as the judge: what it reads in the recorded conversations is what our decoders read.

Where Wireshark is known to read less or something else, the comparison says so: it stops at the second command of a
segment (memcached), and takes the lines of an IMAP literal for commands.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpRequest, HttpResponse
from systrace.messages.replies import Greeting, Reply, Request, ServerError
from systrace.messages.tls import TlsAlert, TlsHello
from systrace.model import Message
from tests.decoders.recordings import Recording, recordings
from tests.decoders.test_recorded import messages
from tests.decoders.tshark import bodies, fields

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="not installed: tshark")

Found = dict[str, list[str]]
RECORDED = [one for one in recordings() if one.protocol != "rsync"]  # its fields hold ends of lines
_NAMES = """
http.request.method http.request.uri http.response.code http2.headers.method http2.headers.path http2.headers.status
tls.handshake.type tls.handshake.extensions_server_name tls.handshake.extensions_alpn_str tls.handshake.ciphersuite
tls.handshake.extensions.supported_version tls.alert_message.desc
dns.id dns.flags.response dns.flags.rcode dns.qry.name dns.a dns.aaaa dns.cname dns.count.answers dns.flags.truncated
pgsql.query pgsql.code pgsql.message pgsql.tag mysql.query mysql.error_code mysql.error.message mysql.user mysql.version
resp.error resp.bulk_string.length smtp.req.command smtp.response.code ftp.request.command ftp.response.code pop.request.command
pop.response.indicator imap.request.command imap.response.status ssh.protocol ldap.protocolOp ldap.resultCode
amqp.method.class amqp.method.method amqp.method.arguments.reply_code amqp.method.arguments.reply_text
amqp.method.arguments.queue kafka.request.version kafka.response_key kafka.error mongo.opcode mongo.element.name
memcache.command memcache.response mqtt.msgtype mqtt.conack.val mqtt.connack.reason_code mqtt.puback.reason_code mqtt.topic
""".split()
Kind = type[Message]


@pytest.fixture(name="dissected", scope="module")
def dissect(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What tshark reads, by the name of the recording; one run for all."""
    found = fields(RECORDED, _NAMES, tmp_path_factory.mktemp("tshark"))
    return {recording.name: values for recording, values in zip(RECORDED, found, strict=True)}


def of(found: list[Message], kind: type, sent: bool | None = None) -> list[Message]:
    """Messages of a kind and direction."""
    return [m for m in found if isinstance(m, kind) and sent in (None, m.direction == "sent")]


def web(prefix: str) -> Callable[[list[Message], Found], Iterable[tuple[list[str], list[str]]]]:
    """HTTP/1 and HTTP/2."""

    def compare(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
        requests = [m for m in ours if isinstance(m, HttpRequest)]
        requests.sort(key=lambda m: m.start_ns or 0)
        method, path, status = prefix.split()
        yield [m.method for m in requests], theirs.get(method, [])
        if "/a" not in theirs.get(path, []):  # with a space in it, where Wireshark ends and we do not
            yield [m.path for m in requests], theirs.get(path, [])
        yield [str(m.status) for m in ours if isinstance(m, HttpResponse)], theirs.get(status, [])

    return compare


def dns(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """DNS."""
    found = [m for m in ours if isinstance(m, DnsMessage)]
    answers = [answer for m in found for answer in m.answers]
    yield [f"{m.id:#06x}" for m in found], theirs["dns.id"]
    yield [str(int(m.is_response)) for m in found], theirs["dns.flags.response"]
    yield [m.question for m in found], theirs["dns.qry.name"]
    yield [str(m.answer_count) for m in found], theirs["dns.count.answers"]
    yield [str(int(m.truncated)) for m in found], theirs["dns.flags.truncated"]
    codes = {"NOERROR": "0", "SERVFAIL": "2", "NXDOMAIN": "3", "REFUSED": "5"}
    yield [codes[m.rcode] for m in found if m.is_response], theirs["dns.flags.rcode"]
    for kind, name in (("A", "dns.a"), ("AAAA", "dns.aaaa"), ("CNAME", "dns.cname")):
        values = [value for _, type_, value in answers if type_ == kind]
        yield values, picked(values, theirs.get(name, []))  # Wireshark's are those of the additional section, too


def tls(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Hellos and alerts."""
    hellos = [m for m in ours if isinstance(m, TlsHello)]
    yield ["1" if m.client else "2" for m in hellos], [t for t in theirs["tls.handshake.type"] if t in ("1", "2")]
    yield [m.sni for m in hellos if m.sni], theirs.get("tls.handshake.extensions_server_name", [])
    clear = [m for m in hellos if m.client or m.versions != ("1.3",)]
    alpn = theirs.get("tls.handshake.extensions_alpn_str", [])
    yield [name for m in clear for name in m.alpn], alpn[: sum(len(m.alpn) for m in clear)]
    chosen = [f"{m.cipher:#06x}" for m in hellos if m.cipher is not None]
    yield chosen, theirs["tls.handshake.ciphersuite"][-1:] if chosen else []
    spoken = {"1.3": "0x0304", "1.2": "0x0303", "1.1": "0x0302", "1.0": "0x0301"}
    listed = theirs.get("tls.handshake.extensions.supported_version", [])
    if listed:
        yield [spoken[v] for m in hellos for v in m.versions][: len(listed)], listed
    alerts = [str(m.code) for m in ours if isinstance(m, TlsAlert) and m.code is not None]
    yield alerts, theirs.get("tls.alert_message.desc", [])
    yield from inside_tls(ours, theirs)


def inside_tls(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """What session keys open."""
    requests = [m for m in ours if isinstance(m, HttpRequest)]
    both = [[*theirs.get(f"http.{one}", []), *theirs.get(f"http2.headers.{two}", [])] for one, two in _OPENED]
    yield [m.path for m in requests], both[0]
    yield [str(m.status) for m in ours if isinstance(m, HttpResponse)], both[1]


_OPENED = (("request.uri", "path"), ("response.code", "status"))


def postgres(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Queries, tags of their completion, errors."""
    asked = [m.summary.removeprefix("query: ") for m in of(ours, Request, True) if m.summary.startswith("query: ")]
    secret = [text.partition(" …")[0] for text in asked]
    yield secret, [query[: len(text)] for query, text in zip(theirs.get("pgsql.query", []), secret, strict=False)]
    errors = [m for m in ours if isinstance(m, ServerError)]
    yield [m.code for m in errors], theirs.get("pgsql.code", [])
    yield [m.text for m in errors], theirs.get("pgsql.message", [])
    replies = [m.summary.partition(" (")[0] for m in of(ours, Reply, False) if m.complete]
    yield [tag for tag in replies if re.match(r"[A-Z]+ (?:\d+|[A-Z]+)$", tag)], theirs.get("pgsql.tag", [])


def mysql(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Greeting, login, queries, errors."""
    versions = [v.removeprefix("5.5.5-") for v in theirs.get("mysql.version", [])]
    yield [m.text for m in ours if isinstance(m, Greeting)], versions
    asked = [m.summary for m in of(ours, Request, True)]
    yield [text[12:] for text in asked if text.startswith("login: user ")], theirs.get("mysql.user", [])
    yield [text[7:] for text in asked if text.startswith("query: ")], theirs.get("mysql.query", [])
    errors = [m for m in ours if isinstance(m, ServerError)]
    yield [m.code for m in errors], theirs.get("mysql.error_code", [])
    yield [m.text for m in errors], theirs.get("mysql.error.message", [])


def redis(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Errors, which Wireshark names apart from values."""
    yield [m.text for m in ours if isinstance(m, ServerError)], [text.strip() for text in theirs.get("resp.error", [])]


def lines(request: str, reply: str) -> Callable[[list[Message], Found], Iterable[tuple[list[str], list[str]]]]:
    """Protocols of commands and codes."""

    def compare(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
        verbs = [m.verb for m in ours if isinstance(m, Request) and m.verb not in ("mail", "")]
        said = [verb.upper() for verb in theirs.get(request, [])]
        if request == "smtp.req.command":
            verbs = [verb[:4] for verb in verbs]  # Wireshark takes four letters
        yield verbs, said if request != "imap.request.command" else picked(verbs, said)
        codes = [m.code or "+OK" for m in ours if isinstance(m, Reply)]
        found = theirs.get(reply, [])
        if request == "imap.request.command":
            codes = [m.code for m in ours if isinstance(m, Reply) and m.request is not None]
            found = picked(codes, found)
        yield codes, found

    return compare


def picked(wanted: list[str], said: list[str]) -> list[str]:
    """Those of `said` that are wanted, in order, each as often as it is wanted."""
    rest = iter(said)
    return [one for one in wanted if any(one == other for other in rest)]


def ssh(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Banners."""
    if theirs:  # the refusal of a full server is no SSH for Wireshark
        yield [m.text for m in ours if isinstance(m, Greeting)], theirs["ssh.protocol"]


def ldap(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Result codes of all that ends an operation."""
    results = [m.code for m in ours if isinstance(m, Reply) and m.code]
    yield results, theirs["ldap.resultCode"]
    yield [str(len(of(ours, Request, True)))], [str(sum(op in _LDAP_ASKS for op in theirs["ldap.protocolOp"]))]


_LDAP_ASKS = {"0", "2", "3", "6", "8", "10", "12", "14", "16", "23"}
_AMQP = {
    "10": ("connection", {"10": "start", "11": "start-ok", "30": "tune", "31": "tune-ok", "40": "open", "41": "open-ok",
                          "50": "close", "51": "close-ok"}),
    "20": ("channel", {"10": "open", "11": "open-ok", "40": "close", "41": "close-ok"}),
    "50": ("queue", {"10": "declare", "11": "declare-ok"}),
    "60": ("basic", {"70": "get", "71": "get-ok", "72": "get-empty", "40": "publish"}),
}  # fmt: skip


def amqp(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """All methods in order, and refusals."""
    pairs = zip(theirs["amqp.method.class"], theirs["amqp.method.method"], strict=True)
    named = [f"{_AMQP[group][0]}.{_AMQP[group][1][method]}" for group, method in pairs]
    yield [m.summary.split()[0] for m in ours if "." in m.summary.split()[0]], named
    errors = [m for m in ours if isinstance(m, ServerError)]
    yield (
        [m.code for m in errors],
        [code for code in theirs["amqp.method.arguments.reply_code"] if code != "200"] if errors else [],
    )
    yield [m.text for m in errors], theirs["amqp.method.arguments.reply_text"] if errors else []
    queues = [m.summary.split()[1] for m in of(ours, Request, True) if m.summary.startswith("basic.get ")]
    yield queues, theirs.get("amqp.method.arguments.queue", [])


_KAFKA = {"18": "ApiVersions", "3": "Metadata", "0": "Produce"}


def kafka(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Versions asked for, answers by name, errors."""
    asked = [m.summary for m in of(ours, Request, True)]
    yield [text.split(" v")[1].partition(",")[0] for text in asked], theirs["kafka.request.version"]
    yield (
        [m.summary.partition(":")[0] for m in of(ours, Reply, False)],
        [_KAFKA[k] for k in theirs["kafka.response_key"]],
    )
    errors = [m.code for m in ours if isinstance(m, ServerError)]
    yield errors, [code for code in theirs["kafka.error"] if code != "0"]


def mongodb(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """As many messages, and the commands among their elements."""
    yield [str(len(ours))], [str(len(theirs["mongo.opcode"]))]
    verbs = [m.verb for m in ours if isinstance(m, Request)]
    yield verbs, picked(verbs, theirs["mongo.element.name"])


def memcached(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """Wireshark reads the first command of a segment."""
    yield (
        picked(theirs["memcache.command"], [m.verb for m in ours if isinstance(m, Request)]),
        theirs["memcache.command"],
    )


_MQTT_TYPES = ("CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE",
               "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT")  # fmt: skip


def mqtt(ours: list[Message], theirs: Found) -> Iterable[tuple[list[str], list[str]]]:
    """All packets in order but the client's acknowledgements, refusals, topics."""
    named = [_MQTT_TYPES[int(kind) - 1] for kind in theirs["mqtt.msgtype"]]
    mine = [m.summary.split()[0] for m in ours]
    yield mine, named if len(named) == len(mine) else picked(mine, named)
    errors = [str(int(m.code, 0)) for m in ours if isinstance(m, ServerError)]
    names = ("mqtt.conack.val", "mqtt.connack.reason_code", "mqtt.puback.reason_code")
    yield errors, [str(int(code, 0)) for name in names for code in theirs.get(name, []) if int(code, 0)]
    topics = [m.summary.split()[1] for m in ours if m.summary.startswith(("PUBLISH ", "SUBSCRIBE "))]
    yield topics, theirs.get("mqtt.topic", [])


COMPARISONS: dict[str, Callable[[list[Message], Found], Iterable[tuple[list[str], list[str]]]]] = {
    "http": web("http.request.method http.request.uri http.response.code"),
    "http2": web("http2.headers.method http2.headers.path http2.headers.status"),
    "tls": tls, "dns": dns, "postgres": postgres, "mysql": mysql, "redis": redis,
    "smtp": lines("smtp.req.command", "smtp.response.code"), "ftp": lines("ftp.request.command", "ftp.response.code"),
    "pop": lines("pop.request.command", "pop.response.indicator"),
    "imap": lines("imap.request.command", "imap.response.status"),
    "ssh": ssh, "ldap": ldap, "amqp": amqp, "kafka": kafka, "mongodb": mongodb, "memcached": memcached, "mqtt": mqtt,
}  # fmt: skip


@pytest.mark.parametrize("recording", [pytest.param(one, id=one.name) for one in RECORDED])
def test_the_same_messages(recording: Recording, dissected: dict[str, Found]) -> None:
    ours = messages(recording, list(recording.said))
    compared = list(COMPARISONS[recording.protocol](ours, dissected[recording.name]))
    assert compared or recording.name == "ssh-too-many-start-ups"
    assert dissected[recording.name] or recording.name == "ssh-too-many-start-ups"
    for mine, theirs in compared:
        assert mine == theirs


def test_the_same_bodies(tmp_path: Path) -> None:
    """Chunked and compressed ones included: what Wireshark exports are our bodies, byte by byte."""
    found = [one for one in RECORDED if one.protocol == "http" and "refuses" not in one.name]
    theirs = sorted(bodies(found, tmp_path))
    answers = [m for one in found for m in messages(one, list(one.said)) if isinstance(m, HttpResponse | HttpRequest)]
    ours = sorted(m.body.data() for m in answers if m.body is not None and m.body.received)
    assert len(ours) >= 9
    assert set(theirs) <= set(ours)
    assert {body for body in ours if len(body) > 200} <= set(theirs)
