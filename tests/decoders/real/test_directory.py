"""OpenLDAP's server, asked by its own clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Reply, Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = pytest.mark.real

BASE = "dc=job,dc=example"


@pytest.fixture(name="ldap", scope="module")
def start_slapd() -> Iterator[int]:
    """slapd with 51 entries, which hands out 10 at most to strangers."""
    with directory() as home:
        port = free_port()
        Path(home, "data").mkdir()
        Path(home, "conf").write_text(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
            f"pidfile {home}/pid\ndatabase mdb\nsuffix {BASE}\nrootdn cn=admin,{BASE}\nrootpw s3cret-word\n"
            f"directory {home}/data\nlimits anonymous size=10\n"
        )
        entries = f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: job\no: job\n\n" + "".join(
            f"dn: ou=u{n},{BASE}\nobjectClass: organizationalUnit\nou: u{n}\n\n" for n in range(50)
        )
        Path(home, "entries").write_text(entries)
        with serving(["slapd", "-d", "0", "-f", f"{home}/conf", "-h", f"ldap://127.0.0.1:{port}"], port, home / "log"):
            made = run("ldapadd", "-x", "-H", f"ldap://127.0.0.1:{port}", *ADMIN, "-f", f"{home}/entries")
            assert made.returncode == 0, made.stderr
            yield port


ADMIN = ("-D", f"cn=admin,{BASE}", "-w", "s3cret-word")


def search(port: int, *words: str) -> tuple[int, str, str]:
    """(status: the result code, output, errors) of ldapsearch."""
    done = run("ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{port}", *words)
    return done.returncode, done.stdout, done.stderr


def replies(messages: list[Message]) -> list[Reply]:
    """All answers."""
    return [message for message in messages if isinstance(message, Reply)]


@needs("slapd", "ldapsearch", "ldapadd")
class TestLdap:
    """What ldapsearch reports is what we decode."""

    @pytest.mark.parametrize("step", [0, 1, 13])
    def test_entries(self, ldap: int, step: int) -> None:
        with Relay(ldap) as relay:
            status, output, _ = search(relay.port, *ADMIN, "-b", BASE, "(ou=*)")
            messages = decoded(relay.conversation(), "ldap", step)
        assert status == 0
        assert [reply.summary for reply in replies(messages)] == [
            "bind: success",
            f"search: success ({output.count('dn: ')} entries)",
        ]
        asked = [message for message in messages if isinstance(message, Request)]
        assert [request.verb for request in asked] == ["bind", "search", "unbind"]
        assert not any(request.unanswered for request in asked)
        assert not any("s3cret" in message.summary for message in messages)

    @pytest.mark.parametrize(
        ("words", "code", "label"),
        [
            (("-D", f"cn=admin,{BASE}", "-w", "wrong", "-b", BASE), 49, "invalidCredentials"),
            (("-b", "dc=nowhere"), 32, "noSuchObject"),
            (("-b", BASE), 4, "sizeLimitExceeded"),
            (("-b", "no name"), 34, "invalidDNSyntax"),
        ],
    )
    def test_refusals(self, ldap: int, words: tuple[str, ...], code: int, label: str) -> None:
        with Relay(ldap) as relay:
            status, _, said = search(relay.port, *words)
            (error,) = [r for r in replies(decoded(relay.conversation(), "ldap")) if isinstance(r, ServerError)]
        assert error.code == str(code) == str(status)
        assert label in error.summary
        assert error.text == label or error.text in said

    def test_start_tls_refused(self, ldap: int) -> None:
        with Relay(ldap) as relay:
            status, _, said = search(relay.port, "-Z", "-b", "", "-s", "base")
            messages = decoded(relay.conversation(), "ldap")
        error = next(reply for reply in replies(messages) if isinstance(reply, ServerError))
        assert (status, error.code) == (0, "2")
        assert error.text in said
        assert messages[0].summary == "StartTLS"
