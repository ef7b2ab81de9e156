"""The pinned versions can be installed on every Python that the project promises."""

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .system.written import PROJECT, ROOT

OLDEST = PROJECT["requires-python"].removeprefix(">=") + ".0"
PINS = re.findall(
    r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
)


def _given() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines if not line.startswith("echo_exp")]


@pytest.mark.parametrize(("name", "version"), PINS)
def test_a_pinned_version_allows_the_oldest_python(name: str, version: str) -> None:
    try:
        found = metadata(name)
    except PackageNotFoundError:
        pytest.skip("not installed on this platform")
    assert found["Version"].partition("+")[0] == version
    assert "Requires-Python" not in found or OLDEST in SpecifierSet(found["Requires-Python"])


def test_every_requirement_allows_its_pin() -> None:
    pins = {name.lower().replace("_", "-"): version for name, version in PINS}
    for required in _given():
        pin = pins[required.name.lower().replace("_", "-")]
        assert required.specifier.contains(pin, prereleases=True), required
