"""Edges: the weights that a trial starts from, is taught by or measures, as a spec names them."""

from collections.abc import Callable
from typing import Any, Literal

from ablations.conversion import Misfit, convert
from ablations.fields import Draft, FieldProblem, Path
from ablations.schema import Seed
from bench import models
from bench.errors import UserError
from bench.trial import Frozen, Source

HUBS = ("hf-hub:", "hf_hub:")
"""Before a name of Hugging Face's hub, as timm writes it; timm publishes its weights there under their own names."""

WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".npz")


ITSELF = "itself"
"""The row that a column goes on from: `train: {from: {row: itself}}` fine-tunes what each row has trained."""


class Edge(Frozen):
    """Weights of another row of the same study, or of the row itself before a column changes it."""

    row: str
    seed: Seed | Literal["same"] = "same"


class Published(Frozen):
    """Weights that a library publishes."""

    published: str


class File(Frozen):
    """Weights in a file."""

    file: str


FindSource = Callable[[Edge], Source]


class NoSource(UserError):
    """An edge that leads to no weights; whoever follows it knows the field that states it."""


def source(draft: Draft, value: Any, path: Path, find: FindSource) -> Source | None:
    """Weights of a row, a published checkpoint's name, or a file."""
    if value is None:
        return None
    if named := isinstance(value, str):
        is_file = ("/" in value or value.endswith(WEIGHT_SUFFIXES)) and not value.startswith(HUBS)
        value = {"file": value} if is_file else {"published": value}
    try:
        if isinstance(value, dict) and "row" in value:
            return find(convert(value, Edge))
        if isinstance(value, dict) and "file" in value:
            return Source(kind="file", ref=draft.file(path, convert(value, File).file))
        if isinstance(value, dict) and "published" in value:
            return Source(kind="published", ref=_published(convert(value, Published).published))
    except Misfit as problem:
        inner = (*path, *map(str, problem.place))
        raise FieldProblem(inner, problem.line(".".join(inner))) from problem
    except NoSource as problem:
        hint = "; the weights of a row are {row: ID}" if named else ""
        raise FieldProblem(path, f"{problem}{hint}") from problem
    name = ".".join(path)
    raise FieldProblem(path, f"{name} must be {{row: ID}}, {{published: NAME}}, {{file: PATH}}, a name or a path")


def _published(name: str) -> str:
    if name.startswith(HUBS):
        owner, _, rest = name.partition(":")[2].partition("/")
        if owner != "timm" or not rest:
            raise NoSource(f"weights of the hub are hf-hub:timm/NAME, not {name!r}; fetch and name a file")
        name = f"timm:{rest}"
    try:
        canonical = models.canonical_name(name)
    except UserError as problem:
        raise NoSource(str(problem)) from problem
    if canonical in models.our_names():
        raise NoSource(f"nobody publishes weights of {name!r}")
    return canonical
