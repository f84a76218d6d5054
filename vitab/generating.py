"""`vitab generate`: a folder of generated scenes, laid out as COCO, ADE20K or Cityscapes is."""

import argparse
import sys
import time
from pathlib import Path

from bench.errors import UserError
from bench.scenes import folders


def main(options: argparse.Namespace) -> int:
    """Write them; how many, and how fast, goes to stderr."""
    folder: Path = options.folder
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file; name a folder that is empty or not there")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(_taken(folder))
    began = time.monotonic()
    written = folders.generate(options.layout, folder, images=options.images, side=options.side, seed=options.seed)
    if written is None:
        raise UserError(_taken(folder))
    what = "annotations" if options.layout == "coco" else "label maps"
    rate = options.images / (time.monotonic() - began)
    sys.stderr.write(f"{options.images} images and {written} {what} in {folder}, {rate:.0f} images/s\n")
    return 0


def _taken(folder: Path) -> str:
    return f"{str(folder)!r} is not empty; name a folder that is empty or not there"
