"""What the tests of the face stand on: the command line, here or in a process of its own, and a small real study."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import vitab
from bench import registry
from bench.store import Store
from vitab.__main__ import main

ROOT = Path(vitab.__file__).parents[1]
PLUGINS = [ROOT / "tests" / "bench" / "plugin", ROOT / "tests" / "vitab" / "plugin"]

STUDY = """\
study: small
question: Which patch for digits?
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: {name: digits, subset: 0.2}
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  one_factor: {model.patch: [4]}
seeds: 2
columns: [params, flops, top1]
paper: {title: Patches, table: Table 1}
reported:
  params: {"2": 3.9k, "4": 5k}
  top1: {"2": "90"}
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return msgspec.json.decode(self.out)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of the test's own, in which everything happens."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # processes started from here run this checkout
    monkeypatch.delenv("VITAB_STORE", raising=False)
    monkeypatch.delenv("VITAB_DATA", raising=False)
    return folder


@pytest.fixture
def call(here, capsys):
    """A function that runs a command line in this process."""

    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:  # --help
            code = ended.code or 0
        said = capsys.readouterr()
        return Answer(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def start(here):
    """A function that starts a command line in a process of its own; what still runs at the end is killed."""
    started = []

    def begin(*words, **options):
        command = [sys.executable, "-P", "-m", "vitab", *map(str, words)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, **(pipes | {"cwd": here, "env": environment} | options)))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def command(start):
    """A function that runs a command line in a process of its own."""

    def run(*words, **options):
        process = start(*words, **options)
        out, err = process.communicate(timeout=120)
        return Answer(code=process.returncode, out=out, err=err)

    return run


@pytest.fixture(scope="session")
def measured_once(tmp_path_factory):
    """A folder with the small study and its finished store, for all tests: copied, never changed."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "small.yaml").write_text(STUDY)
    command = [sys.executable, "-P", "-m", "vitab", "run", "small.yaml", "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return folder, Answer(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture
def study(here):
    """The small study, nothing of it measured."""
    path = here / "small.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def finished(here, measured_once):
    """The store of the small study, all of it measured, beside its spec."""
    folder, _ = measured_once
    shutil.copytree(folder, here, dirs_exist_ok=True)
    return Store(here / "runs")


@pytest.fixture
def staged(here, monkeypatch):
    """The measure `acting` and the data set `staged` are known, here and in processes started from here."""
    for plugin in PLUGINS:
        monkeypatch.syspath_prepend(plugin)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [*PLUGINS, ROOT])))
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
    yield
    for cached in (registry.names, registry.load, registry.quantities):
        cached.cache_clear()
