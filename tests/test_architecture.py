"""The house rules that a machine can read from the source: who imports whom, what is imported when, what is called.

Each rule is a function from a parsed file to its breaches, and is shown to fail on a line that breaks it.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ROOMS = ("ablations", "bench", "reports", "slurm", "vitab")

MAY_IMPORT = {
    "bench": {"bench"},
    "ablations": {"ablations", "bench"},
    "slurm": {"slurm", "bench"},
    "reports": {"reports", "ablations", "bench"},
    "vitab": set(ROOMS),
}

HEAVY = {
    "faster_coco_eval",
    "fvcore",
    "numpy",
    "pandas",
    "PIL",
    "pycocotools",
    "safetensors",
    "scipy",
    "sklearn",
    "submitit",
    "timm",
    "torch",
    "torchvision",
    "transformers",
}

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

NAMED_LIKE_THE_STANDARD_LIBRARY: dict[str, str] = {}
"""file → why that is no trap here."""

LONG: dict[str, str] = {}
"""file of more than 400 lines → why it is one idea."""

SOURCES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SPECS = sorted(
    path.relative_to(ROOT)
    for folder in ("ablations/specs", "bench/train/recipes", "reports/papers")
    for path in (ROOT / folder).glob("*.yaml")
)


def _parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def _imported(node: ast.AST) -> list[str]:
    """Full names that an import statement brings in; `from a import b` may mean the module a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _runs_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that are executed when the module is imported: not function bodies, not `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for otherwise in node.orelse:
                yield otherwise
                yield from _runs_at_import(otherwise)
            continue
        yield node
        yield from _runs_at_import(node)


def forbidden_arrows(tree: ast.Module, path: Path) -> list[str]:
    """Imports of a room that this file's room may not know, wherever in the file they stand."""
    room = path.parts[0]
    return [
        f"{path}:{node.lineno}: {room} imports {name}"
        for node in ast.walk(tree)
        for name in _imported(node)
        if name.split(".")[0] in set(ROOMS) - MAY_IMPORT[room]
    ]


def relative_imports(tree: ast.Module, path: Path) -> list[str]:
    """Relative imports: the arrows are read from full names."""
    return [
        f"{path}:{node.lineno}: relative import"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]


def heavy_at_import(tree: ast.Module, path: Path) -> list[str]:
    """Libraries (and our layers, which are torch modules) that load when this file is imported."""
    if path.parts[:2] == ("bench", "layers"):
        return []
    return [
        f"{path}:{node.lineno}: imports {name} at module level"
        for node in _runs_at_import(tree)
        for name in _imported(node)
        if name.split(".")[0] in HEAVY or name.startswith("bench.layers.")
    ]


def _keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword of a call; None when it is absent or no constant."""
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


RUNS_WHAT_IT_READS = {
    "eval",
    "exec",
    "joblib.load",
    "os.popen",
    "os.system",
    "pandas.read_pickle",
    "pd.read_pickle",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "yaml.full_load",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
}
PICKLES = {"cloudpickle", "dill", "marshal", "pickle", "shelve"}


def unsafe(tree: ast.Module, path: Path) -> list[str]:
    """Calls that would run what a file or an argument says."""
    breaches = []
    for node in ast.walk(tree):
        found = [name for name in _imported(node) if name.split(".")[0] in PICKLES]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if (
                called in RUNS_WHAT_IT_READS
                or (called == "torch.load" and _keyword(node, "weights_only") is not True)
                or (called in {"np.load", "numpy.load"} and _keyword(node, "allow_pickle") is not False)
                or _keyword(node, "shell") is True
            ):
                found.append(called)
        breaches += [f"{path}:{node.lineno}: {name}" for name in found]
    return breaches


def crowded_signatures(tree: ast.Module, path: Path) -> list[str]:
    """Functions that take more than five parameters by position."""
    breaches = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > 5:
                breaches.append(f"{path}:{node.lineno}: {node.name} takes {count} parameters by position")
    return breaches


RULES = (forbidden_arrows, relative_imports, heavy_at_import, unsafe, crowded_signatures)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_file_breaks_a_rule(rule):
    assert SOURCES, "no source found: the rule would pass on nothing"
    assert [breach for path in SOURCES for breach in rule(_parse(path), path)] == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (forbidden_arrows, "bench/trial.py", "from ablations import spec"),
        (forbidden_arrows, "bench/trial.py", "def f():\n    import reports.cells"),
        (forbidden_arrows, "ablations/spec.py", "import slurm"),
        (forbidden_arrows, "slurm/jobs.py", "from ablations.study import Study"),
        (forbidden_arrows, "reports/cells.py", "if TYPE_CHECKING:\n    from vitab import run"),
        (relative_imports, "bench/plan.py", "from . import trial"),
        (heavy_at_import, "bench/worker.py", "import torch.nn"),
        (heavy_at_import, "bench/worker.py", "try:\n    from torch import nn\nexcept ImportError:\n    nn = None"),
        (heavy_at_import, "reports/cells.py", "class Table:\n    import pandas as pd"),
        (heavy_at_import, "bench/models/vit.py", "from bench.layers.attention import Attention"),
        (heavy_at_import, "bench/models/vit.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import numpy"),
        (unsafe, "bench/train/checkpoint.py", "torch.load(path)"),
        (unsafe, "bench/train/checkpoint.py", "torch.load(path, weights_only=False)"),
        (unsafe, "bench/store.py", "np.load(path, allow_pickle=True)"),
        (unsafe, "bench/store.py", "def f():\n    import pickle"),
        (unsafe, "ablations/spec.py", "yaml.load(text, Loader=yaml.Loader)"),
        (unsafe, "bench/machine.py", "subprocess.run(command, shell=True)"),
        (unsafe, "ablations/spec.py", "eval(text)"),
        (crowded_signatures, "bench/plan.py", "def f(a, b, c, d, e, g): ..."),
    ],
)
def test_a_rule_sees_a_line_that_breaks_it(rule, path, source):
    assert len(rule(ast.parse(source), Path(path))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (forbidden_arrows, "vitab/run.py", "import ablations, bench, reports, slurm"),
        (heavy_at_import, "bench/layers/attention.py", "import torch"),
        (heavy_at_import, "bench/models/vit.py", "def build():\n    import torch"),
        (heavy_at_import, "bench/models/vit.py", "if TYPE_CHECKING:\n    import torch"),
        (unsafe, "bench/train/checkpoint.py", "torch.load(path, weights_only=True)"),
        (unsafe, "bench/train/loop.py", "model.eval()"),
        (crowded_signatures, "bench/plan.py", "def f(self, a, b, c, d, e, *, g): ..."),
    ],
)
def test_a_rule_lets_pass_what_it_should(rule, path, source):
    assert rule(ast.parse(source), Path(path)) == []


def test_files_are_named_by_what_they_hold():
    assert [str(path) for path in SOURCES if path.stem in VAGUE] == []


def test_a_file_named_like_a_standard_module_is_listed_with_a_reason():
    like = {str(path) for path in SOURCES if path.stem in sys.stdlib_module_names}
    assert like == set(NAMED_LIKE_THE_STANDARD_LIBRARY)


def test_a_file_over_400_lines_is_listed_with_a_reason():
    long = {str(path) for path in SOURCES if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > 400}
    assert long == set(LONG)


def test_there_are_specs_and_papers_to_read():
    assert {path.parts[0] for path in SPECS} == {"ablations", "bench", "reports"}


@pytest.mark.parametrize("path", SPECS, ids=str)
def test_a_yaml_file_is_plain_text_without_tags_anchors_or_aliases(path):
    text = (ROOT / path).read_bytes().decode("utf-8")
    tokens = [type(token).__name__ for token in yaml.scan(text)]
    assert not {"TagToken", "AnchorToken", "AliasToken"} & set(tokens)


BLOCKER = """
import importlib.abc, importlib.machinery, runpy, sys

class Refusal(importlib.abc.Loader):
    def exec_module(self, module):
        raise AssertionError(f"imported {module.__name__}")

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        found = importlib.machinery.PathFinder.find_spec(name, path) if name.partition(".")[0] in BLOCKED else None
        if found is not None:
            found.loader = Refusal()  # where a library lies may be asked; what is in it may not be run
        return found

sys.meta_path.insert(0, Blocker())
"""


def _without(blocked: set[str], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which importing a blocked library is an error that nothing expects."""
    return subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {blocked!r}\n{BLOCKER}\n{code}"],
        cwd=folder,
        env={**os.environ, "VITAB_STORE": str(folder / "store"), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_blocker_blocks(tmp_path):
    ran = _without(HEAVY, "import torch", tmp_path)
    assert ran.returncode == 1
    assert "AssertionError: imported torch" in ran.stderr


def test_every_module_but_the_layers_imports_without_heavy_libraries(tmp_path):
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.parts[:2] != ("bench", "layers") and path.name != "__main__.py"
    ]
    ran = _without(HEAVY, "\n".join(f"import {name}" for name in names), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["plan", "positional_embedding"], ["status", "positional_embedding"]],
    ids=" ".join,
)
def test_a_command_that_answers_at_once_imports_nothing_heavy(arguments, tmp_path):
    code = f"sys.argv = ['vitab', *{arguments!r}]\nrunpy.run_module('vitab', run_name='__main__')"
    ran = _without(HEAVY, code, tmp_path)
    assert "imported " not in ran.stderr, ran.stderr
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
