"""flowers102: Oxford Flowers-102, 2,040 images of training and validation, 6,149 of test, as an image folder."""

from bench.data import imagefolder

VERSION = imagefolder.VERSION

_FOLDER = imagefolder.Named("flowers102", classes=102, image=224)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load


class Options(imagefolder.Reading):
    """How it is read, and where it lies."""
