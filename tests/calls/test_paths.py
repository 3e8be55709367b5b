"""Files by their names."""

from __future__ import annotations

import pytest

from systrace.calls.paths import is_library, is_of_system


@pytest.mark.parametrize(
    "path", ["/usr/lib/libpq.so", "/usr/lib/libpq.so.5.16", "/srv/app/client.py", "/opt/ojdbc11.jar"]
)
def test_libraries(path: str) -> None:
    assert is_library(path)


@pytest.mark.parametrize("path", ["/usr/share/doc/a", "/srv/rows.json", "/var/log/so.log"])
def test_no_libraries(path: str) -> None:
    assert not is_library(path)


def test_what_belongs_to_the_system() -> None:
    assert is_of_system("/etc/hosts")
    assert not is_of_system("/srv/etc/hosts")
    assert not is_of_system("usr/share/a")
