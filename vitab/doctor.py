"""`vitab doctor`: this machine, its devices and libraries, and what is missing for what. Imports no library."""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import machine, registry
from bench.data import folder
from bench.errors import UserError
from bench.store import Store
from bench.trial import Frozen

FORMAT = 1

NEEDED_FOR = {
    "torch": "training and measuring: pip install 'vitab[measure]'",
    "torchvision": "torchvision's models: pip install 'vitab[measure]'",
    "timm": "timm's models: pip install 'vitab[measure]'",
    "transformers": "models that only transformers has: pip install 'vitab[transformers]'",
    "fvcore": "counting: pip install 'vitab[measure]'",
    "pycocotools": "COCO AP: pip install 'vitab[measure]'",
    "scikit-learn": "digits: pip install 'vitab[measure]'",
    "pandas": "vitab.table in Python",
    "submitit": "Slurm",
    "torch-tb-profiler": "TensorBoard traces: pip install 'vitab[profile]'",
}
PROGRAMS = {"pdflatex": "typesetting LaTeX tables here", "sbatch": "Slurm", "sacct": "Slurm's accounting"}


class Fact(Frozen):
    """One thing about this machine."""

    name: str
    found: str | None  # None: it is missing
    needed_for: str = ""


def main(options: argparse.Namespace) -> int:
    """Print what is here and what is not."""
    facts = [*_machine(), *_libraries(), *_programs(), *_data(), _store(options.store)]
    if options.as_json:
        print(msgspec.json.encode({"format": FORMAT, "facts": facts}).decode())
        return 0
    width = max(len(fact.name) for fact in facts)
    for fact in facts:
        said = fact.found if fact.found is not None else f"missing · for {fact.needed_for}"
        print(f"{fact.name:<{width}}  {said}")
    return 0


def _machine() -> Iterator[Fact]:
    facts = machine.environment()
    yield Fact(name="host", found=f"{facts['host']}, {facts['os']}")
    yield Fact(name="python", found=facts["python"])
    memory = facts.get("memory_bytes")
    about = f", {memory / 2**30:.0f} GiB" if memory else ""
    yield Fact(name="cpu", found=f"{facts.get('cpu', facts['machine'])}, {facts['cores']} cores{about}")
    gpus = ", ".join(facts.get("gpus", ())) or None
    yield Fact(name="gpu", found=gpus, needed_for="throughput, memory and attention kernels on CUDA")


def _libraries() -> Iterator[Fact]:
    for name, what in NEEDED_FOR.items():
        yield Fact(name=name, found=machine.version(name), needed_for=what)


def _programs() -> Iterator[Fact]:
    for name, what in PROGRAMS.items():
        yield Fact(name=name, found=shutil.which(name), needed_for=what)


def _data() -> Iterator[Fact]:
    """Data sets that need no further word; others say in their spec where they lie."""
    for name in registry.names("data"):
        module = registry.load("data", name)
        try:
            options = msgspec.convert({}, module.Options)
        except msgspec.ValidationError:
            continue
        lacking = module.missing(options)
        yield Fact(
            name=f"data {name}", found="found" if lacking is None else None, needed_for=f"studies on {name}: {lacking}"
        )
    yield Fact(name="VITAB_DATA", found=str(folder("").absolute()))


def _store(path: Path) -> Fact:
    above = path.absolute()
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK):
        return Fact(name="store", found=None, needed_for=f"keeping records: {path} cannot be written")
    try:
        held = len(Store(path).read().records)
    except UserError as problem:
        return Fact(name="store", found=None, needed_for=f"keeping records: {problem}")
    return Fact(name="store", found=f"{path}, {held:,} records")
