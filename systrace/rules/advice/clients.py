"""Client fingerprints: whose default a limit is, and which knob changes it (verdicts section 3). Named only when a
second sign agrees: the program's name, a User-Agent, or a library that it opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from systrace.keepalive import COUNT, IDLE_S, INTERVAL_S
from systrace.messages.http import HttpMessage
from systrace.model import Message, Process
from systrace.rules.case.index import SECOND, Case


@dataclass(frozen=True)
class Client:
    """One client library or tool, and how it is recognised."""

    name: str
    commands: tuple[str, ...]  # program names, without path and version
    agents: tuple[str, ...]  # User-Agent prefixes
    files: tuple[str, ...]  # parts of paths it opens
    connect_s: float | None
    read_s: float | None
    connect_knob: str
    read_knob: str
    keepalive: str  # how to turn it on; "" when on already
    default_keepalive: str = "none"  # none, late (7200 s), early


_SYSCTL = f"sysctl net.ipv4.tcp_keepalive_time={IDLE_S}"
CLIENTS = (
    Client("boto3/botocore", ("aws",), ("Boto3/", "aws-cli/", "Botocore/"), ("/botocore/",), 60, 60,
           "Config(connect_timeout=...)", "Config(read_timeout=...)",
           f"botocore Config(tcp_keepalive=True) and {_SYSCTL}"),
    Client("requests/urllib3", (), ("python-requests/", "python-urllib3/"), ("/urllib3/", "/requests/"), None, None,
           "timeout=(connect, read)", "timeout=(5, 60): per receive, not in total",
           "an HTTPAdapter whose pool gets socket_options=HTTPConnection.default_socket_options + [(SOL_SOCKET, "
           f"SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, {IDLE_S}), (IPPROTO_TCP, TCP_KEEPINTVL, {INTERVAL_S})]"),
    Client("httpx", (), ("python-httpx/",), ("/httpx/",), 5, 5, "httpx.Timeout(connect=...)", "httpx.Timeout(read=...)",
           f"HTTPTransport(socket_options=[(SOL_SOCKET, SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, {IDLE_S})])"),
    Client("curl", ("curl",), ("curl/",), (), 300, None, "curl --connect-timeout", "curl --max-time",
           "", "early"),
    Client("wget", ("wget",), ("Wget/",), (), None, 900, "wget --connect-timeout", "wget --read-timeout",
           "none of its own: a wrapper or LD_PRELOAD"),
    Client("PHP", ("php", "php-fpm"), ("PHP/",), (), 60, 60, "default_socket_timeout", "default_socket_timeout, or the "
           "stream context's timeout; CURLOPT_TIMEOUT for ext/curl",
           "stream context option so_keepalive (8.x), CURLOPT_TCP_KEEPALIVE for ext/curl"),
    Client("Perl LWP", (), ("libwww-perl/", "lwp-"), ("/LWP/UserAgent.pm",), 180, 180, "LWP::UserAgent timeout",
           "LWP::UserAgent timeout", "sockopt(SO_KEEPALIVE, 1) and the sysctl"),
    Client("Perl HTTP::Tiny", (), ("HTTP-Tiny/",), ("/HTTP/Tiny.pm",), 60, 60, "HTTP::Tiny timeout", "HTTP::Tiny timeout",
           f"{_SYSCTL} (it sets SO_KEEPALIVE)", "late"),
    Client("Ruby Net::HTTP", ("ruby",), ("Ruby",), ("/net/http.rb",), 60, 60, "open_timeout", "read_timeout",
           "socket.setsockopt(:SOCKET, :KEEPALIVE, true) and TCP_KEEPIDLE"),
    Client("Node.js", ("node", "nodejs"), ("node", "axios/", "undici"), (), 10, 300, "AbortSignal.timeout(ms)",
           "AbortSignal.timeout(ms), req.setTimeout", f"socket.setKeepAlive(true, {IDLE_S}000)", "late"),
    Client("Java", ("java",), ("Java/", "Apache-HttpClient/"), (), None, None, "setConnectTimeout",
           "setReadTimeout (0 = endless); -Dsun.net.client.defaultReadTimeout",
           "setKeepAlive(true) and ExtendedSocketOptions.TCP_KEEPIDLE; JDBC: tcpKeepAlive=true and the sysctl"),
    Client("libpq (PostgreSQL)", ("psql", "pg_dump", "pg_restore"), (), ("/libpq.so",), None, None, "connect_timeout=5",
           "statement_timeout; tcp_user_timeout",
           f"keepalives_idle={IDLE_S} keepalives_interval={INTERVAL_S} keepalives_count={COUNT}", "late"),
    Client("the MySQL client", ("mysql", "mysqldump", "mariadb", "mariadb-dump"), (), ("/libmysqlclient.so", "/libmariadb.so"),
           None, None, "connect_timeout", "net_read_timeout", f"{_SYSCTL} (it sets SO_KEEPALIVE)", "late"),
    Client("OpenSSH", ("ssh", "scp", "sftp", "rsync"), (), (), None, None, "-o ConnectTimeout=5",
           "-o ServerAliveInterval=60", "-o ServerAliveInterval=60 -o ServerAliveCountMax=3", "late"),
    Client("lftp", ("lftp",), (), (), 300, 300, "set net:timeout", "set net:timeout", "", "late"),
    Client("redis-cli", ("redis-cli",), (), (), None, None, "redis-cli -t SECONDS", "redis-cli -t SECONDS", "", "early"),
    Client("Python", ("python", "pypy"), ("Python-urllib/",), (), None, None, "timeout=", "socket.settimeout(60)",
           f"s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1); s.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, {IDLE_S})"),
    Client("Perl", ("perl",), (), (), None, None, "Timeout =>", "alarm", "sockopt(SO_KEEPALIVE, 1) and the sysctl"),
)  # fmt: skip


def client_of(case: Case, process: Process | None) -> Client | None:
    """The client that a process is, by its requests, its files or its name; None when nothing tells."""
    if process is None:
        return None
    agents = _agents(case, process)
    for client in CLIENTS:
        if any(agent.startswith(client.agents) for agent in agents if client.agents):
            return client
    for client in CLIENTS:
        if any(part in path for path in process.opened_files for part in client.files):
            return client
    program = (process.argv[0] if process.argv else process.path).rsplit("/", 1)[-1].rstrip("0123456789.-")
    return next((client for client in CLIENTS if program in client.commands), None)


def _agents(case: Case, process: Process) -> list[str]:
    if case.agents is None:
        case.agents = {}
        for socket in case.evidence.sockets.values():
            found = [agent for message in socket.messages[:4] for agent in _agents_of(message)]
            for pid in {h.pid for h in socket.holders} if found else ():
                case.agents.setdefault(pid, []).extend(found)
    return case.agents.get(process.pid, [])


def _agents_of(message: Message) -> list[str]:
    headers = message.headers if isinstance(message, HttpMessage) else ()
    return [value for name, value in headers if name == "user-agent"]


def client_note(case: Case, process: Process | None, limit_ns: int | None, what: str) -> str:
    """A sentence when the limit is the known default of the client that the process is."""
    client = client_of(case, process)
    if client is None or limit_ns is None:
        return ""
    default = client.read_s if what == "read" else client.connect_s
    knob = client.read_knob if what == "read" else client.connect_knob
    if default is not None and default * 0.99 <= limit_ns / SECOND <= default * 1.03 + 0.1:
        return f"{default:g} s is the default of {client.name} ({knob})."
    return ""
