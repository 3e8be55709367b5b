"""Client fingerprints: whose default a limit is, and which knob changes it (verdicts section 3). Named only when a
second sign agrees: the program's name, a User-Agent, or a library that it opened.
"""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.keepalive import COUNT, IDLE_S, INTERVAL_S
from systrace.messages.http import HttpMessage
from systrace.model import Message, Process, Socket
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
    protocols: tuple[str, ...] = ()  # it speaks these only


_SYSCTL = f"sysctl net.ipv4.tcp_keepalive_time={IDLE_S}"
_WEB = ("http", "http2", "tls")
CLIENTS = (
    Client("boto3/botocore", ("aws",), ("Boto3/", "aws-cli/", "Botocore/"), ("/botocore/",), 60, 60,
           "Config(connect_timeout=...)", "Config(read_timeout=...)",
           f"botocore Config(tcp_keepalive=True) and {_SYSCTL}", protocols=_WEB),
    Client("requests/urllib3", (), ("python-requests/", "python-urllib3/"), ("/urllib3/", "/requests/"), None, None,
           "timeout=(connect, read)", "timeout=(5, 60): per receive, not in total",
           "an HTTPAdapter whose pool gets socket_options=HTTPConnection.default_socket_options + [(SOL_SOCKET, "
           f"SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, {IDLE_S}), (IPPROTO_TCP, TCP_KEEPINTVL, {INTERVAL_S})]",
           protocols=_WEB),
    Client("httpx", (), ("python-httpx/",), ("/httpx/",), 5, 5, "httpx.Timeout(connect=...)", "httpx.Timeout(read=...)",
           f"HTTPTransport(socket_options=[(SOL_SOCKET, SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, {IDLE_S})])",
           protocols=_WEB),
    Client("aiohttp", (), ("aiohttp/",), ("/aiohttp/",), None, 300, "ClientTimeout(connect=...)",
           "ClientTimeout(total=..., sock_read=60)", "TCPConnector(socket_factory=...) whose sockets set SO_KEEPALIVE and "
           f"TCP_KEEPIDLE={IDLE_S}", protocols=_WEB),
    Client("gRPC", (), ("grpc-",), ("/grpc/_cython/",), 20, None, "a deadline on each call", "a deadline on each call "
           "(timeout=, withDeadlineAfter, context.WithTimeout)",
           f"channel options grpc.keepalive_time_ms={IDLE_S}000, grpc.keepalive_timeout_ms=20000"),
    Client("paramiko", (), (), ("/paramiko/",), None, None, "connect(timeout=5, banner_timeout=15, auth_timeout=30)",
           "channel.settimeout(60)", "transport.set_keepalive(60)", protocols=("ssh",)),
    Client("redis-py", (), (), ("/redis/__pycache__/connection", "/redis/connection.py"), None, None,
           "socket_connect_timeout=5",
           "socket_timeout=60: longer than any blocking command's own", "socket_keepalive=True, "
           f"socket_keepalive_options={{TCP_KEEPIDLE: {IDLE_S}}}, or health_check_interval={IDLE_S}", protocols=("redis",)),
    Client("node-postgres", (), (), ("/node_modules/pg/",), None, None, "connectionTimeoutMillis",
           "query_timeout, statement_timeout", f"keepAlive: true, keepAliveInitialDelayMillis: {IDLE_S}000",
           protocols=("postgres",)),
    Client("the Kafka client", (), (), ("/librdkafka", "/kafka-clients"), 30, 30, "socket.connection.setup.timeout.ms",
           "request.timeout.ms, delivery.timeout.ms", "socket.keepalive.enable=true (librdkafka); "
           "connections.max.idle.ms below the limit on the path", protocols=("kafka",)),
    Client("JDBC", (), (), ("/postgresql-", "/mysql-connector", "/mariadb-java", "/mssql-jdbc", "/ojdbc"), None, None,
           "connectTimeout, loginTimeout", "socketTimeout (PostgreSQL in s, MySQL in ms), oracle.jdbc.ReadTimeout",
           "tcpKeepAlive=true and the sysctl; the pool's keepalive (HikariCP keepaliveTime)", protocols=("postgres", "mysql")),
    Client("Go net/http", (), ("Go-http-client/",), (), 30, None, "net.Dialer{Timeout: 5 * time.Second}",
           "http.Client{Timeout: 60 * time.Second}, or a context with a deadline", "", "early"),
    Client(".NET HttpClient", ("dotnet",), (), ("/System.Net.Http.dll",), None, 100, "SocketsHttpHandler.ConnectTimeout",
           "HttpClient.Timeout", "SocketsHttpHandler.ConnectCallback with SetSocketOption(KeepAlive, TcpKeepAliveTime)"),
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
    Client("Lua", ("lua", "luajit"), ("LuaSocket",), ("/socket/core.so",), None, None, "socket:settimeout(5)",
           "socket:settimeout(60)", "socket:setoption('keepalive', true) and the sysctl"),
    Client("Tcl", ("tclsh", "expect"), ("Tcl http",), (), None, None, "socket -async and after", "http::geturl -timeout 60000",
           "chan configure -keepalive 1 (Tcl 9), else a wrapper"),
    Client("Perl", ("perl",), (), (), None, None, "Timeout =>", "alarm", "sockopt(SO_KEEPALIVE, 1) and the sysctl"),
)  # fmt: skip


def client_of(case: Case, process: Process | None, socket: Socket) -> Client | None:
    """The client that uses a socket, by its requests, its process's files or name; None when nothing tells."""
    if process is None:
        return None
    agents = _agents(case, process)
    spoken = socket.app_protocol
    fitting = [c for c in CLIENTS if not (c.protocols and spoken) or spoken in c.protocols]
    for client in fitting:
        if any(agent.startswith(client.agents) for agent in agents if client.agents):
            return client
    for client in fitting:
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
    values = [value for name, value in headers if name == "user-agent"]
    return [product for value in values for product in (value, *value.split()[1:])]  # `Python/3.11 aiohttp/3.9`


def client_note(case: Case, process: Process | None, socket: Socket, limit_ns: int | None, what: str) -> str:
    """A sentence when the limit is the known default of the client that the process is."""
    client = client_of(case, process, socket)
    if client is None or limit_ns is None:
        return ""
    default = client.read_s if what == "read" else client.connect_s
    knob = client.read_knob if what == "read" else client.connect_knob
    if default is not None and default * 0.99 <= limit_ns / SECOND <= default * 1.03 + 0.1:
        return f"{default:g} s is the default of {client.name} ({knob})."
    return ""
