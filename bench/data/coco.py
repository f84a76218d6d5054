"""coco: COCO 2017, 118,287 training and 5,000 validation pictures with boxes and masks of 80 classes.

As its archives lie: {train2017,val2017}/*.jpg and annotations/instances_{train2017,val2017}.json (Lin et al., ECCV
2014). Ids of categories go from 1 to 90 with ten gaps; class 0 is id 1, person, and class 79 id 90, toothbrush.
"""

from typing import Annotated

from msgspec import Meta

from bench.data import cocofolder

VERSION = cocofolder.VERSION

_FOLDER = cocofolder.Named("coco", classes=80, image=640)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load
annotations_file, category_ids = _FOLDER.annotations_file, _FOLDER.category_ids


class Options(cocofolder.Reading):
    """How it is read, and where it lies."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.02
