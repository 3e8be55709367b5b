"""The registry: a package's modules, walked once, each name once."""

import sys
from pathlib import Path

import pytest

from systrace.registry import Registry

ENTRY = "from {package} import REGISTRY\nREGISTRY.add({name!r}, {value})\n"


@pytest.fixture(name="package")
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two plug-ins, which nobody has imported yet."""
    folder = tmp_path / f"plugins_{tmp_path.name.replace('-', '_')}"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        f"from systrace.registry import Registry\nREGISTRY = Registry[int]({folder.name!r})\n"
    )
    for name, value in (("second", 2), ("first", 1)):
        (folder / f"{name}.py").write_text(ENTRY.format(package=folder.name, name=name, value=value))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def registry_of(package: Path) -> Registry[int]:
    """The registry in the package's __init__."""
    found: Registry[int] = __import__(package.name).REGISTRY
    return found


def test_plug_ins_are_imported_when_the_registry_is_read(package: Path) -> None:
    """Not before; then all of them, in order of their names."""
    registry = registry_of(package)
    assert f"{package.name}.first" not in sys.modules
    assert list(registry.items()) == [("first", 1), ("second", 2)]
    assert len(registry) == 2
    assert registry["second"] == 2


def test_one_new_file_is_a_new_plug_in(package: Path) -> None:
    """Nothing else needs to know of it."""
    (package / "third.py").write_text(ENTRY.format(package=package.name, name="third", value=3))
    assert "third" in registry_of(package)


def test_a_name_belongs_to_one_plug_in(package: Path) -> None:
    """Two that claim the same are a mistake of the programmer."""
    (package / "thief.py").write_text(ENTRY.format(package=package.name, name="first", value=9))
    with pytest.raises(ValueError, match="'first' is registered twice"):
        list(registry_of(package))


def test_one_that_has_its_modules_name_is_imported_alone(package: Path) -> None:
    """A report as a table needs no other format."""
    registry = registry_of(package)
    assert registry["second"] == 2
    assert f"{package.name}.first" not in sys.modules
    assert list(registry) == ["first", "second"]


def test_no_name_imports_the_package_itself_again(package: Path) -> None:
    """`--format __init__`: its registry would be another one."""
    assert "__init__" not in registry_of(package)
    assert f"{package.name}.__init__" not in sys.modules


def test_what_a_plug_in_lacks_is_told(package: Path) -> None:
    """A module that it imports and that is missing is not taken for a plug-in that does not exist."""
    (package / "broken.py").write_text("import a_module_that_nobody_has\n")
    registry = registry_of(package)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        registry["broken"]
