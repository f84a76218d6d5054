"""Label maps as they lie on disk: PNG files whose pixels are labels, and a folder of truths beside one of predictions.

Grey of 1 to 16 bits, where the level is the label, and palettes, where the index is: their colours say nothing. What
has no labels in it is refused: colours, and JPEGs, whose compression invents labels along every edge.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import Invalid, Needs
from bench.segmentation import label_rules
from bench.segmentation.label_rules import Rules

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Suffixes of what may be meant for a prediction; all but the first are refused."""

LARGEST = 8192**2
"""Pixels of a label map: 32 times a picture of Cityscapes, and below what Pillow warns of."""

_GREY, _PALETTE = 0, 3
_KINDS = {_GREY: "grey", 2: "in colour", _PALETTE: "a palette", 4: "grey with transparency", 6: "in colour"}
"""Colour types of PNG (ISO/IEC 15948, section 11.2.1)."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
"""The last chunk, which has no content, and its check sum: Pillow does not miss it once it has all rows."""

_ALLOWED = "labels are 8- or 16-bit grey, or indices of a palette"

_FRAME = re.compile(r"([A-Za-z-]+_\d{6}_\d{6})(?=[_.-])")
"""How a frame of Cityscapes begins: city, sequence, frame; what follows says which file of it this is."""


class Match(NamedTuple):
    """A truth and the prediction of the same picture."""

    name: str  # the truth's, from its folder, without suffix
    truth: Path
    prediction: Path


def read(path: Path, rules: Rules | None = None) -> "Array":
    """A label map (H, W): as stored, uint8 or uint16; with rules, classes as `label_rules.classes` gives them.

    Raises Invalid, one line that names the file, for what is no label map and for labels without a meaning.
    """
    import io
    import zlib

    import numpy as np
    from PIL import Image

    content = _content(path)
    kind, bits = _kind(content, path)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
            stored = np.asarray(file)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as problem:
        raise Invalid(f"{path}: a PNG file that is cut off or damaged") from problem
    if bits == 16:
        stored = stored.astype(np.uint16)
    elif kind == _GREY and bits < 8:  # Pillow spreads fewer levels over all 256
        stored = stored.astype(np.uint8) // (255 // (2**bits - 1) if bits > 1 else 1)
    return stored if rules is None else label_rules.classes(stored, rules, str(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise Invalid(f"{path}: cannot be read: {(problem.strerror or str(problem)).lower()}") from problem


def _kind(content: bytes, path: Path) -> tuple[int, int]:
    """A PNG file's colour type and bits a channel. Raises Invalid for any other file, and for colours."""
    if not content:
        raise Invalid(f"{path}: an empty file")
    if content.startswith(b"\xff\xd8"):
        raise Invalid(f"{path}: a JPEG, whose compression changes labels; save label maps as PNG")
    if not content.startswith(_SIGNATURE):
        raise Invalid(f"{path}: no PNG file; {_ALLOWED}")
    if len(content) < 26 or content[12:16] != b"IHDR" or _END not in content:
        raise Invalid(f"{path}: a PNG file that is cut off or damaged")
    width, height, bits, kind = struct.unpack(">IIBB", content[16:26])
    if kind not in (_GREY, _PALETTE):
        raise Invalid(f"{path}: a PNG {_KINDS.get(kind, 'of no known kind')}; {_ALLOWED}")
    if width * height > LARGEST:
        raise Invalid(f"{path}: {width:,} × {height:,} pixels; at most {LARGEST:,} are read")
    return kind, bits


def found(folder: Path, ending: str = ".png") -> list[Path]:
    """Label maps at any depth below a folder whose names end so, sorted. Raises Needs where there are none."""
    files = [path for path in _below(folder) if path.name.endswith(ending)]
    if not files:
        raise Needs(f"label maps as {folder}/**/*{ending}")
    return files


def matched(truths: Sequence[Path], root: Path, predictions: Path) -> tuple[list[Match], list[Path]]:
    """A prediction for every truth below `root`, and the label maps among the predictions that are of no truth.

    A prediction has the truth's name from its folder; else, wherever it lies, the truth's name alone; else, for frames
    of Cityscapes, the same city, sequence and frame. A PNG goes before any other picture. Raises Needs where the
    folder is not there; Invalid where a truth has no prediction or several, and a prediction several truths.
    """
    if not predictions.is_dir():
        raise Needs(f"predictions as a folder of label maps, {predictions}")
    files = [path for path in _below(predictions) if path.suffix.lower() in PICTURES]
    names = {_name(truth, root): truth for truth in truths}
    whole = _by(files, lambda path: _name(path, predictions))
    others = [path for path in files if _name(path, predictions) not in names]
    stems, frames = _by(others, lambda path: path.stem), _by(others, _frame)
    matches: dict[Path, Match] = {}
    lacking = []
    for name, truth in names.items():
        candidates = whole.get(name) or stems.get(truth.stem) or frames.get(_frame(truth) or "")
        if candidates is None:
            lacking.append(name)
            continue
        if len(candidates) > 1:
            raise Invalid(f"two predictions for {name}: {candidates[0]} and {candidates[1]}")
        if other := matches.get(candidates[0]):
            raise Invalid(f"{candidates[0]} would be the prediction for both {other.name} and {name}")
        matches[candidates[0]] = Match(name, truth, candidates[0])
    if lacking:
        some = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
        raise Invalid(f"{predictions}: no prediction for {len(lacking):,} of {len(truths):,} label maps: {some}")
    return [*matches.values()], [path for path in files if path not in matches and path.suffix.lower() == ".png"]


def _below(folder: Path) -> list[Path]:
    """Files at any depth, sorted, without hidden ones and those in hidden folders."""
    inside = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _frame(path: Path) -> str | None:
    begins = _FRAME.match(path.name)
    return begins[1] if begins else None


def _by(files: Iterable[Path], key: Any) -> dict[str, list[Path]]:
    """Files by a name that they share; of those with one name the PNGs, where there are any."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        if (name := key(path)) is not None:
            groups.setdefault(name, []).append(path)
    return {name: [path for path in group if path.suffix.lower() == ".png"] or group for name, group in groups.items()}
