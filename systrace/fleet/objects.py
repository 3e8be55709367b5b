"""Objects of S3, by boto3: `s3://BUCKET/PREFIX`. Objects are read as they come, never stored here whole.

Region, credentials and endpoint are the SDK's usual ones (AWS_PROFILE, AWS_REGION, the host's role, AWS_ENDPOINT_URL).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, cast

from systrace.errors import MissingExtraError, TransientError, UsageError

SCHEME = "s3://"
PAGE = 1000  # objects asked for at a time; S3 gives no more


def is_url(path: str) -> bool:
    """Whether a path of the command line is in a bucket."""
    return path.startswith(SCHEME)


def _parts(url: str) -> tuple[str, str]:
    bucket, _slash, key = url.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise UsageError(f"{url}: write s3://BUCKET/PREFIX")
    return bucket, key


@cache
def _client(_process: int) -> Any:
    """One for each process: connections must not be shared over a fork."""
    try:
        import boto3
    except ImportError:
        raise MissingExtraError("boto3", "aws") from None
    return boto3.client("s3")


def _s3() -> Any:
    return _client(os.getpid())


@contextlib.contextmanager
def _one_line(url: str) -> Iterator[None]:
    """What the SDK complains about, as one of ours.

    Raises:
        MissingExtraError: boto3 is not installed.
        TransientError: anything else.
    """
    try:
        _s3()
    except MissingExtraError:
        raise
    except Exception as error:  # noqa: BLE001 (no region, a profile that is not there)
        raise TransientError(f"{url}: {error}") from None
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise TransientError(f"{url}: {error}") from None


def listed(url: str, recursive: bool) -> list[tuple[str, str]]:
    """(URL, what tells its content apart) of all objects with this prefix, by name; `recursive`: below further slashes, too.

    Raises:
        InputError: it cannot be listed.
    """
    bucket, prefix = _parts(url)
    options: dict[str, Any] = {} if recursive else {"Delimiter": "/"}
    found: list[tuple[str, str]] = []
    with _one_line(url):
        pages = _s3().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}, **options):
            found += [(each["Key"], f"{each['Size']} {each['ETag']}") for each in page.get("Contents", ())]
    whole = prefix == "" or prefix.endswith("/")  # else `logs` is a folder, or an object, and not `logs-of-others`
    return sorted(
        (f"{SCHEME}{bucket}/{key}", tag) for key, tag in found if whole or key == prefix or key[len(prefix)] == "/"
    )


def opened(url: str) -> BinaryIO:
    """An object's bytes, as they come.

    Raises:
        InputError: it cannot be read.
    """
    bucket, key = _parts(url)
    with _one_line(url):
        body = _s3().get_object(Bucket=bucket, Key=key)["Body"]
    return cast(BinaryIO, io.BufferedReader(_Body(url, body), 1 << 18))


class _Body(io.RawIOBase):
    """The stream of an answer; what fails on the way is an error of the log, in one line."""

    def __init__(self, url: str, body: Any) -> None:
        self._url, self._body = url, body

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as came.

        Raises:
            InputError: the connection broke.
        """
        with _one_line(self._url):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Give the connection free."""
        if not self.closed:
            self._body.close()
        super().close()


def put(url: str, data: BinaryIO) -> None:
    """Write an object; it is there as a whole, or not.

    Raises:
        InputError: it cannot be written.
    """
    bucket, key = _parts(url)
    with _one_line(url):
        _s3().put_object(Bucket=bucket, Key=key, Body=data)


def delete(url: str) -> None:
    """Remove an object.

    Raises:
        InputError: it cannot be removed.
    """
    bucket, key = _parts(url)
    with _one_line(url):
        _s3().delete_object(Bucket=bucket, Key=key)
