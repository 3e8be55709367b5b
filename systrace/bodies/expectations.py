"""What was due in a response, by what its request asked and its header declares, against what came."""

from __future__ import annotations

from typing import NamedTuple

from systrace.messages.http import HttpRequest, HttpResponse

_SUFFIXES = {".json": "json", ".xml": "xml", ".csv": "csv", ".gz": "gzip", ".zip": "zip", ".parquet": "parquet"}
_S3_LISTS = frozenset({"list-type", "location", "uploads", "versions", "delete", "acl", "policy", "tagging"})
_GIT = "a git reference list"  # gitprotocol-http(5)
_COMPRESSED = frozenset({"gzip", "zlib", "zstd", "bzip2", "xz"})
_ARCHIVE_TYPES = ("octet-stream", "gzip", "zip", "zstd", "compressed", "x-tar", "bzip", "x-xz", "force-download")


class Wrong(NamedTuple):
    """Another kind of content than was due."""

    due: str  # json, xml, csv, gzip, zip, parquet, a git reference list
    by: str  # who says so: content-type, accept, path, request (its protocol or own content)
    got: str  # what `sniff` says


def declared_kind(media_type: str) -> str | None:
    """The kind that a media type (without parameters) promises; None when it does not say."""
    subtype = media_type.partition("/")[2]
    if subtype in ("json", "x-ndjson", "ndjson", "jsonl") or subtype.endswith("+json"):
        return "json"
    if subtype == "html" or subtype == "xhtml+xml":
        return "html"
    if subtype == "xml" or subtype.endswith("+xml"):
        return "xml"
    return {"csv": "csv", "gzip": "gzip", "zip": "zip", "pdf": "pdf"}.get(subtype)


def due(response: HttpResponse) -> tuple[str, str] | None:
    """(kind, who says so) of the content that the client wanted; None when nothing tells."""
    request = response.request
    if request is not None:
        wanted = [part.partition(";")[0].strip().lower() for part in (request.header("accept") or "").split(",")]
        kinds = {kind for media in wanted if (kind := declared_kind(media))}
        if len(kinds) == 1 and "html" not in kinds:
            return kinds.pop(), "accept"
        path = request.path.partition("?")[0].lower()
        for suffix, kind in _SUFFIXES.items():
            if path.endswith(suffix):
                return kind, "path"
        asked = _asked(request)
        if asked is not None:
            return asked, "request"
    kind_declared = declared_kind(response.content_type)
    if kind_declared is not None and kind_declared != "html":
        return kind_declared, "content-type"
    return None


def _asked(request: HttpRequest) -> str | None:
    """What protocols on top of HTTP answer with: git, AWS JSON, SOAP, S3's listings; and to JSON mostly JSON."""
    if request.header("x-amz-target") is not None:
        return "json"
    if request.header("soapaction") is not None:
        return "xml"
    path, query, words = request.path.partition("?")
    if path.endswith("/info/refs") and words.startswith("service=git-"):
        return _GIT
    if query and _S3_LISTS & {word.partition("=")[0] for word in words.split("&")}:
        return "xml" if request.header("x-amz-content-sha256") is not None else None
    return "json" if declared_kind(request.content_type) == "json" else None


def wrong_kind(response: HttpResponse) -> Wrong | None:
    """HTML, XML, compressed bytes ... where another kind was due; None when it fits or nobody can tell."""
    wanted = due(response)
    if wanted is None or response.body is None:
        return None
    kind, by = wanted
    got = response.body.kind()
    if got in (kind, "empty", "unknown"):
        return None
    loose = {"json": {"text"}, "csv": {"text", "json"}, "xml": {"text"}, _GIT: {"text", "binary"}}.get(kind, set())
    if got in loose and kind != "json":
        return None
    return Wrong(kind, by, got)


def unannounced_compression(response: HttpResponse) -> str | None:
    """The compression that a body still has after its declared codings were undone, where text was due.

    None for downloads that are declared or named as archives.
    """
    body = response.body
    if body is None:
        return None
    kind = body.kind()
    if kind not in _COMPRESSED:
        return None
    path = response.request.path.partition("?")[0].lower() if response.request is not None else ""
    if any(word in response.content_type for word in _ARCHIVE_TYPES) or path.endswith(
        (".gz", ".tgz", ".zst", ".bz2", ".xz", ".zip")
    ):
        return None
    return kind
