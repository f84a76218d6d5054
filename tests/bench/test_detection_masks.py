import numpy as np
import pytest
from pycocotools import mask

from bench.detection import masks


def encoded(pixels):
    return mask.encode(np.asfortranarray(pixels.astype(np.uint8)))


def test_compressed_run_lengths_are_of_as_many_pixels_as_their_images():
    random = np.random.default_rng(0)
    shapes = [(1, 1), (3, 500), (480, 640), (7, 1), (90, 40), (2000, 3000)]
    some = [encoded(random.random(shape) < share) for shape in shapes for share in (0, 0.001, 0.5, 1)]
    wanted = [height * width for height, width in shapes for _ in range(4)]
    assert masks.pixels(some).tolist() == wanted
    texts = [one | {"counts": one["counts"].decode()} for one in some]
    assert masks.pixels(texts).tolist() == wanted
    assert masks.pixels([]).tolist() == []


def test_run_lengths_that_are_cut_off_or_no_run_lengths_are_seen_among_others():
    whole = encoded(np.arange(6000).reshape(60, 100) % 7 > 3)
    text = whole["counts"].decode()
    for broken in (text[: len(text) // 2], text + "5", "", "é" * 9, text.replace(text[3], "!"), text[:-1] + "o"):
        counted = masks.pixels([whole, whole | {"counts": broken}]).tolist()
        assert counted[0] == 6000
        assert counted[1] != 6000


def test_run_lengths_below_zero_are_seen_though_their_sum_is_right():
    written = {"counts": "".join(map(_written, (10, 20, -5, 9975 - 20)))}  # from the fourth on: differences
    assert mask.area({"size": [100, 100], "counts": written["counts"].encode()}) == 9995  # COCO's code takes it
    assert masks.pixels([written]).tolist() == [-1]
    assert masks.pixels([{"counts": "".join(map(_written, (10, 20, 5, 9965 - 20)))}]).tolist() == [10_000]


def _written(number):
    """A number as compressed run lengths have it: five bits a character, the sixth says that more follow."""
    text = ""
    while True:
        bits, number = number & 0x1F, number >> 5
        if number == (-1 if bits & 0x10 else 0):
            return text + chr(bits + 48)
        text += chr((bits | 0x20) + 48)


def test_how_many_masks_are_checked_at_once_does_not_matter(monkeypatch):
    random = np.random.default_rng(1)
    some = [encoded(random.random((20, 30)) < 0.3) for _ in range(50)]
    some[17] = some[17] | {"counts": some[17]["counts"][:-3]}
    monkeypatch.setattr(masks, "CHARACTERS_AT_ONCE", 700)
    found = masks.pixels(some)
    assert np.flatnonzero(found != 600).tolist() == [17]


@pytest.mark.parametrize("count", [1, 255, 256, 1000])
def test_areas_are_those_of_pixels_however_many_masks_there_are(count):
    random = np.random.default_rng(count)
    drawn = [random.random((9, 11)) < 0.4 for _ in range(count)]
    assert masks.areas([encoded(pixels) for pixels in drawn]).tolist() == [int(pixels.sum()) for pixels in drawn]


def test_a_box_is_around_all_that_is_inside():
    pixels = np.zeros((20, 30), bool)
    pixels[4:9, 7:8] = pixels[15, 20] = True
    assert masks.box(encoded(pixels)) == [7.0, 4.0, 14.0, 12.0]
    assert masks.area(encoded(pixels)) == 6
