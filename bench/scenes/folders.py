"""Folders of generated scenes: whole or absent, however many write them at once."""

import errno
import shutil
import uuid
from importlib.util import find_spec
from pathlib import Path

from bench import data
from bench.errors import Needs, UserError
from bench.scenes import VALIDATION, VERSION, ade20k, cityscapes, coco

LAYOUTS = {"coco": coco.write, "ade20k": ade20k.write, "cityscapes": cityscapes.write}

SMALLEST, LARGEST = 32, 4096  # pixels a side: smaller ones have no room for shapes, larger ones no scale for textures


def generate(layout: str, folder: Path, *, images: int, side: int, seed: int) -> int | None:
    """Draw scenes into a folder of a layout; it appears whole, by renaming one beside it.

    How many annotations or label maps it has; None where the folder already held something, which stays as it is.
    Raises UserError for what cannot be drawn.
    """
    check(images=images, side=side)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")  # on a shared disk a process id is not enough
    try:
        beside.mkdir()
        written = LAYOUTS[layout](beside, images=images, side=side, seed=seed)
        beside.rename(folder)  # onto an empty folder or none
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return None
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return written


def at_hand(layout: str, *, images: int, side: int, seed: int) -> Path:
    """Where these scenes lie below `$VITAB_DATA/generated`, drawn first unless they were. Raises Needs."""
    folder = data.folder("generated") / f"{layout}-v{VERSION}-{images}-{side}-{seed}"
    try:
        if not (folder.is_dir() and any(folder.iterdir())):
            generate(layout, folder, images=images, side=side, seed=seed)  # or another process was first
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
        raise Needs(f"room for generated scenes in {folder}, which cannot be written: {why}") from problem
    return folder


def missing() -> str | None:
    """What scenes are drawn and written with, where it is not here."""
    return None if find_spec("PIL") else "pillow, which writes generated scenes: pip install 'vitab[measure]'"


def check(*, images: int, side: int) -> None:
    """Raise UserError for scenes that cannot be drawn."""
    if images < VALIDATION:
        raise UserError(f"images {images}: at least {VALIDATION}, of which every {VALIDATION}th is for validation")
    if not SMALLEST <= side <= LARGEST:
        raise UserError(f"side {side}: from {SMALLEST} to {LARGEST} pixels")
