"""`--tls-keys`: the job is asked to log its TLS session keys, in the one way that most clients know."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from systrace.capture.recording import comment
from systrace.errors import CaptureError
from systrace.tracers.launch import environment

LIMIT = 64 << 20  # bytes of keys that go into a recording
_VARIABLE, _NODE = b"SSLKEYLOGFILE", b"NODE_OPTIONS"


class KeyFile:
    """Where the job logs its keys: a file of its own in a private directory, or the one that SSLKEYLOGFILE names already.

    curl, GnuTLS (wget), NSS, Python's `ssl.create_default_context` and urllib3 obey SSLKEYLOGFILE; Node takes
    `--tls-keylog` from NODE_OPTIONS (12.16 and later), warns of it on standard error, and writes in the background: what
    dies of an exception at once may leave no keys. Go, Java and programs that use OpenSSL bare do not.
    """

    def __init__(self, directory: Path) -> None:
        """Make the file, with mode 0600, in `directory`, which is private and vanishes with the recording.

        Raises:
            CaptureError: it cannot be made.
        """
        self._variables = environment()
        named = self._variables.get(_VARIABLE)
        self.path = Path(os.fsdecode(named)) if named else directory / "tls-keys"
        if not named:
            try:
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise CaptureError(f"cannot write the session keys: {error.strerror}") from None
        self._begin = self._size()  # what was there before is not this job's

    def environment(self) -> Mapping[bytes, bytes]:
        """The job's: systrace's own, and the variables that make clients log their keys."""
        path = os.fsencode(self.path)
        quoted = path if path.isalnum() else b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        options = self._variables.get(_NODE, b"")
        if b"--tls-keylog" not in options:
            options = (options + b" --tls-keylog=" + quoted).strip()
        return {**self._variables, _VARIABLE: path, _NODE: options}

    def lines(self) -> Iterator[bytes]:
        """`#` lines for a recording: one for each line that the job logged."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._begin)
                for line in file.read(LIMIT).splitlines():
                    if line and not line.startswith(b"#"):
                        yield comment({"keylog": line.decode("ascii", "replace")})
        except OSError:
            return

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0
