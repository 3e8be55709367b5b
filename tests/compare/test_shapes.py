"""What stays the same of names, URLs and statements from run to run."""

from __future__ import annotations

import pytest

from systrace.compare.shapes import host_shape, statement_shape, url_shape, words_shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/orders/1/items/22", "/orders/999/items/1"),
        ("/a/6f1c2b3a-0000-4000-8000-0123456789ab", "/a/00000000-1111-4222-8333-fedcba987654"),
        ("/blob/9f86d081884c7d65", "/blob/2c26b46b68ffc68f"),
        ("/x?from=2026-11-29&token=*secret-3**", "/x?token=*secret-1*********&from=2026-11-30"),
        ("/export-2026-11-29.csv", "/export-2026-11-30.csv"),
        ("/export-20261129T013000.csv", "/export-20261130T013001.csv"),
        ("http://a:8080/x/1", "http://b/x/2"),
        ("/p/part-00001", "/p/part-00900"),
        ("/multipart?partNumber=1&uploadId=2~aBcD1", "/multipart?partNumber=7&uploadId=2~zZzZ9"),
        ("/a%20b/7", "/a b/8"),
    ],
)
def test_urls_of_one_shape(one: str, other: str) -> None:
    assert url_shape(one) == url_shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/v1/orders", "/v2/orders"),
        ("/orders", "/returns"),
        ("/orders?page=1", "/orders?cursor=1"),
        ("/login", "/data"),
        ("/oauth2/token", "/oauth/token"),
    ],
)
def test_urls_of_two_shapes(one: str, other: str) -> None:
    assert url_shape(one) != url_shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "query: SELECT a FROM t WHERE id = 7 AND d > '2026-11-29'",
            "query: select a from t  where id = 8 and d > '2026-11-30'",
        ),
        ("query: INSERT INTO t VALUES (1, 'x'), (2, 'y')", "query: INSERT INTO t VALUES (9, 'it''s')"),
        ("query: DELETE FROM t WHERE id IN (1,2,3)", "query: DELETE FROM t WHERE id IN (4)"),
        ("SET session:6f1c2b3a9d0e", "SET session:00aa11bb22cc"),
        ("query: SELECT long_column FROM orders WHERE custo…", "query: SELECT long_column FROM orders WHERE cust…"),
    ],
)
def test_statements_of_one_shape(one: str, other: str) -> None:
    assert statement_shape(one) == statement_shape(other)


def test_statements_of_two_shapes() -> None:
    assert statement_shape("SELECT a FROM t1") != statement_shape("SELECT a FROM archive")
    assert statement_shape("SELECT 1") != statement_shape("DELETE FROM t")


def test_hosts() -> None:
    assert host_shape("api.example:8443") == host_shape("API.example.") == "api.example"
    assert host_shape("10.1.2.3") == host_shape("[2001:db8::1]:443") == host_shape("2001:db8::1") == ""
    assert host_shape("db1.example") != host_shape("db2.example")


@pytest.mark.parametrize(
    "text", ["", "'", "(" * 5000, "%" * 3000, "http://[", "\x1b[2J\udcff", "a" * 100_000, "-" * 9000]
)
def test_whatever_comes(text: str) -> None:
    """Never an error, and in linear time."""
    for shape in (words_shape, url_shape, statement_shape, host_shape):
        assert isinstance(shape(text), str)
