"""oxford_pets: Oxford-IIIT Pets, 3,680 training and 3,669 test images of 37 breeds, as an image folder."""

from bench.data import imagefolder

VERSION = imagefolder.VERSION

_FOLDER = imagefolder.Named("oxford_pets", classes=37, image=224)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load


class Options(imagefolder.Reading):
    """How it is read, and where it lies."""
