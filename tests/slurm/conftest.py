"""A real Slurm for the tests that carry the marker `slurm`: one a pytest process, taken up at the first of them."""

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slurm import submission
from slurm.cluster import cluster
from slurm.cluster.cluster import Cluster
from slurm.cluster.settings import Settings

PORTS = range(21000, 31000, 100)
"""First ports of ranges below those that the kernel gives to outgoing connections (from 32768)."""

CLAIM = 99
"""The port of a range that whoever uses the range keeps bound: two processes cannot choose the same one."""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes of two cores and two GPUs each, with accounting; gone with the last test."""
    folder = tmp_path_factory.mktemp("slurm")
    with ExitStack() as claimed:
        cluster.guard(folder)  # a run that is killed takes nothing down
        try:
            yield cluster.up(folder, Settings(port=_free_range(claimed), node_down_s=15))
        finally:
            cluster.purge(folder)


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    """The script beside this file, as a module."""
    return _beside("faults")


@pytest.fixture
def shell(slurm: Cluster, tmp_path: Path) -> Any:
    """A user's shell at the cluster, in a folder with two small studies: counted.yaml and trained.yaml."""
    module = _beside("shell")
    here = module.Shell(folder=tmp_path / "two words")
    here.write("counted.yaml", module.COUNTED)
    here.write("trained.yaml", module.TRAINED)
    return here


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that look like Slurm's, and what they were told."""
    folder = tmp_path / "fake"
    pretended.write(folder)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("VITAB_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setattr(submission, "SETTLED_S", 0.01)
    return folder


@pytest.fixture
def port() -> Iterator[int]:
    """The first of twenty ports for a cluster of the test's own."""
    with ExitStack() as claimed:
        yield _free_range(claimed)


@pytest.fixture(autouse=True)
def _at_the_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test that uses the cluster finds: its SLURM_CONF, every node up, and no job of the test before it."""
    if "slurm" not in request.fixturenames:
        yield
        return
    one: Cluster = request.getfixturevalue("slurm")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(one.places.slurm_conf))
    cluster.up(one.places.folder, one.settings)
    yield
    cluster.cancel_all(one)


def _beside(name: str) -> ModuleType:
    """A file of this folder, as a module."""
    described = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    described.loader.exec_module(module)
    return module


def _free_range(claimed: ExitStack) -> int:
    """The first port of a range that nobody listens in, and that no other pytest process has claimed."""
    for first in PORTS:
        with ExitStack() as kept:
            try:
                kept.enter_context(_bound(first + CLAIM, again=False))
                for port in range(first, first + 20):
                    _bound(port, again=True).close()
            except OSError:
                continue
            claimed.push(kept.pop_all())
            return first
    raise RuntimeError(f"no free range of ports in {PORTS}")


def _bound(port: int, *, again: bool) -> socket.socket:
    """Bound alone, or `again`: also where the last connection of a port lingers, though nobody listens any more."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, again)
        made.bind(("", port))
    except OSError:
        made.close()
        raise
    return made


pretended = _beside("pretended")  # as a name that tests can import
