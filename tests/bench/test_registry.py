import importlib.metadata
import sys

import pytest

from bench import registry
from bench.errors import UserError
from bench.measures import params

CACHED = (registry.names, registry.load, registry.quantities)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that installs a package with one module of one kind."""

    def install(content, *, kind="measures", name="theirs", package="acme"):
        module = f"{package}_{name}"
        (tmp_path / f"{module}.py").write_text(content)
        facts = tmp_path / f"{package}-1.5.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (facts / "entry_points.txt").write_text(f"[vitab.{kind}]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)  # another test's
        for cached in CACHED:
            cached.cache_clear()

    yield install
    for cached in CACHED:
        cached.cache_clear()


def _said(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    return str(caught.value)


MEASURE = """
VERSION, DEPENDS_ON, PRODUCES = 1, ("model",), {"points": ("points", "higher")}
def measure(trial, subject): ...
"""


def test_what_another_package_adds_is_there_beside_ours(package):
    package(MEASURE)
    assert "theirs" in registry.names("measures")
    assert registry.load("measures", "theirs").PRODUCES == {"points": ("points", "higher")}
    assert registry.quantities()["points"] == "theirs"
    assert registry.load("measures", "params") is params


def test_no_package_may_have_a_name_of_ours(package):
    package(MEASURE, name="params")
    said = "package acme 1.5 has a measure 'params', as vitab has; uninstall it"
    assert _said(registry.names, "measures") == said
    assert _said(registry.load, "measures", "params") == said
    assert "vit" in registry.names("models")


def test_no_two_packages_may_have_the_same_name(package):
    package(MEASURE)
    package(MEASURE, package="other")
    said = _said(registry.names, "measures")
    assert said in (
        "package acme 1.5 has a measure 'theirs', as package other 1.5 has; uninstall it",
        "package other 1.5 has a measure 'theirs', as package acme 1.5 has; uninstall it",
    )


def test_a_package_that_lies_in_two_folders_of_the_path_is_there_once(package, tmp_path, monkeypatch):
    package(MEASURE)
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda *, group, found=importlib.metadata.entry_points: [*found(group=group)] * 2,
    )
    assert registry.names("measures").count("theirs") == 1


def test_no_package_may_measure_what_a_measure_of_ours_does(package):
    package(MEASURE.replace("points", "top1"))
    assert _said(registry.quantities) == "package acme 1.5 measures 'top1', which 'top1' does; uninstall it"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import nowhere", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere'; uninstall it"),
        ("raise ValueError('two\\nlines')", "cannot be loaded: ValueError: two lines; uninstall it"),
        ("VERSION = 1", "has no DEPENDS_ON, PRODUCES, measure"),
    ],
)
def test_a_package_that_is_broken_is_named_in_one_line(package, content, said):
    package(content)
    assert _said(registry.quantities) == f"measure 'theirs' of package acme 1.5 {said}"


def test_an_entry_point_that_is_no_module_is_named(package, tmp_path):
    package("Options = 1", kind="data")
    points = tmp_path / "acme-1.5.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().strip() + ":Options\n")
    assert (
        _said(registry.load, "data", "theirs")
        == "data set 'theirs' of package acme 1.5 is no module: its entry point is 'acme_theirs:Options'"
    )
