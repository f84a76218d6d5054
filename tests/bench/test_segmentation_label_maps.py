import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bench.errors import Invalid, Needs
from bench.segmentation import label_maps, label_rules
from bench.segmentation.label_rules import Rules, rules

LABELS = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [255, 9, 10, 11]], dtype=np.uint8)


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(levels, *, bits, colour=0, palette=b""):
    """A PNG file by the letter of its standard, of levels (H, W) of 1, 2, 4, 8 or 16 bits."""
    height, width = levels.shape
    rows = b""
    for row in levels.tolist():
        text = "".join(format(level, f"0{bits}b") for level in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    colours = _chunk(b"PLTE", palette) if palette else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + colours
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("colour", [0, 3], ids=["grey", "palette"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_level_or_the_index_is_the_label_whatever_the_depth(tmp_path, bits, colour):
    levels = np.arange(4 * 5).reshape(4, 5) % 2**bits
    palette = bytes(range(255, 255 - 3 * min(2**bits, 64), -1)) if colour else b""  # colours that are no labels
    path = tmp_path / "a.png"
    path.write_bytes(_png(levels, bits=bits, colour=colour, palette=palette))
    assert np.array_equal(label_maps.read(path), levels)


def test_sixteen_bits_are_read_as_they_are(tmp_path):
    levels = np.array([[0, 255, 256], [1000, 40_000, 65_535]], dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(_png(levels, bits=16))
    found = label_maps.read(tmp_path / "a.png")
    assert found.dtype == np.uint16
    assert np.array_equal(found, levels)
    Image.fromarray(levels).save(tmp_path / "b.png")
    assert np.array_equal(label_maps.read(tmp_path / "b.png"), levels)


def test_a_palettes_colours_say_nothing(tmp_path):
    image = Image.fromarray(LABELS).convert("P")
    image.putdata(LABELS.ravel().tolist())
    image.putpalette([(7 * number) % 256 for number in range(768)])
    image.save(tmp_path / "a.png")
    assert np.array_equal(label_maps.read(tmp_path / "a.png"), LABELS)


def _refused(path, *, given=None):
    with pytest.raises(Invalid) as raised:
        label_maps.read(path, given)
    return str(raised.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("RGB", "a PNG in colour; labels are 8- or 16-bit grey, or indices of a palette"),
        ("RGBA", "a PNG in colour; labels are 8- or 16-bit grey, or indices of a palette"),
        ("LA", "a PNG grey with transparency; labels are 8- or 16-bit grey, or indices of a palette"),
    ],
)
def test_colours_are_no_labels(tmp_path, mode, said):
    Image.fromarray(LABELS).convert(mode).save(tmp_path / "a.png")
    assert _refused(tmp_path / "a.png") == said


def test_a_jpeg_is_refused_by_its_content_whatever_it_is_called(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.png", format="JPEG")
    assert _refused(tmp_path / "a.png") == "a JPEG, whose compression changes labels; save label maps as PNG"


def test_other_files_are_refused(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.bmp")
    assert _refused(tmp_path / "a.bmp") == "no PNG file; labels are 8- or 16-bit grey, or indices of a palette"
    (tmp_path / "b.png").write_bytes(b"")
    assert _refused(tmp_path / "b.png") == "an empty file"
    assert _refused(tmp_path / "c.png") == "cannot be read: no such file or directory"
    whole = _png(LABELS, bits=8)
    (tmp_path / "d.png").write_bytes(whole[:16] + struct.pack(">II", 2**14, 2**13) + whole[24:])
    assert _refused(tmp_path / "d.png") == "16,384 × 8,192 pixels; at most 67,108,864 are read"


def test_a_file_that_is_cut_off_anywhere_is_one_line(tmp_path):
    whole = _png(np.random.default_rng(0).integers(0, 9, (40, 40)), bits=8)
    path = tmp_path / "a.png"
    for length in (8, 20, 26, 33, 40, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:length])
        assert _refused(path) == "a PNG file that is cut off or damaged", length
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    path.write_bytes(damaged)
    assert _refused(path) == "a PNG file that is cut off or damaged"


def test_labels_become_classes_by_their_rules(tmp_path):
    path = tmp_path / "a.png"
    stored = np.array([[0, 1, 2], [3, 255, 1]], dtype=np.uint8)
    path.write_bytes(_png(stored, bits=8))
    assert label_maps.read(path, rules(4)).tolist() == [[0, 1, 2], [3, 255, 1]]
    assert label_maps.read(path, rules(3, reduced=True)).tolist() == [[255, 0, 1], [2, 255, 0]]
    chosen = Rules(values=(3, 1), void=(0, 2, 255))
    assert label_maps.read(path, chosen).tolist() == [[255, 1, 255], [0, 255, 1]]


def test_many_classes_are_16_bits_wide():
    stored = np.array([[0, 254, 299, 65_535]], dtype=np.uint16)
    found = label_rules.classes(stored, rules(300, ignore=65_535), "x")
    assert (found.dtype, found.tolist()) == (np.uint16, [[0, 254, 299, 65_535]])
    small = label_rules.classes(stored[:, :2].astype(np.uint8), rules(300, ignore=65_535), "x")
    assert (small.dtype, small.tolist()) == (np.uint16, [[0, 254]])
    most = label_rules.classes(np.array([[0, 254]], np.uint8), rules(255), "x")
    assert (most.dtype, most.tolist()) == (np.uint16, [[0, 254]])
    few = label_rules.classes(np.array([[0, 253, 255]], np.uint8), rules(254), "x")
    assert (few.dtype, few.tolist()) == (np.uint8, [[0, 253, 255]])


@pytest.mark.parametrize(
    ("stored", "given", "said"),
    [
        ([[0, 1], [2, 4]], rules(4), "label 4 at row 1, column 1 is no class; allowed: 0 … 3, and 255 for no class"),
        (
            [[0, 1], [2, 254]],
            rules(4),
            "label 254 at row 1, column 1 is no class; allowed: 0 … 3, and 255 for no class",
        ),
        (
            [[0, 151], [151, 9]],
            rules(150, reduced=True),
            "label 151 at row 0, column 1 is no class; allowed: 1 … 150, and 0, 255 for no class",
        ),
        ([[2, 255]], rules(2, ignore=None), "label 2 at row 0, column 0 is no class; allowed: 0, 1"),
    ],
)
def test_a_label_without_a_meaning_is_said_with_its_place(tmp_path, stored, given, said):
    (tmp_path / "a.png").write_bytes(_png(np.array(stored), bits=8))
    assert _refused(tmp_path / "a.png", given=given) == said


def test_rules_that_mean_two_things_are_refused():
    with pytest.raises(Invalid, match=r"^label 255 is class 255 and ignored; say another `ignore`, up to 65,535$"):
        rules(300)
    with pytest.raises(Invalid, match=r"^label 255 is class 254 and ignored; "):
        rules(255, reduced=True)
    assert rules(300, ignore=None).void == ()


def _written(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def _matched(truths, predictions):
    matches, others = label_maps.matched(label_maps.found(truths), truths, predictions)
    pairs = {match.name: match.prediction.relative_to(predictions).as_posix() for match in matches}
    return pairs, [path.relative_to(predictions).as_posix() for path in others]


def test_a_prediction_has_its_truths_name_from_the_folder_or_its_name_alone(tmp_path):
    truths = _written(tmp_path / "gt", "a/1.png", "a/2.png", "b/1.png", "b/3.png", ".hidden.png")
    predictions = _written(tmp_path / "said", "a/1.png", "b/1.png", "2.png", "deep/er/3.png", "._2.png", "notes.txt")
    assert _matched(truths, predictions) == (
        {"a/1": "a/1.png", "a/2": "2.png", "b/1": "b/1.png", "b/3": "deep/er/3.png"},
        [],
    )


def test_no_prediction_is_taken_for_two_truths(tmp_path):
    truths = _written(tmp_path / "gt", "a/1.png", "b/1.png")
    with pytest.raises(Invalid) as raised:
        _matched(truths, _written(tmp_path / "flat", "1.png"))
    assert str(raised.value) == f"{tmp_path}/flat/1.png would be the prediction for both a/1 and b/1"
    with pytest.raises(Invalid, match=r"half: no prediction for 1 of 2 label maps: b/1$"):  # that of a/1 is taken
        _matched(truths, _written(tmp_path / "half", "a/1.png"))


def test_a_prediction_without_a_truth_is_left_out_and_said(tmp_path):
    truths = _written(tmp_path / "gt", "1.png")
    predictions = _written(tmp_path / "said", "1.png", "2.png", "3.jpg")
    assert _matched(truths, predictions) == ({"1": "1.png"}, ["2.png"])


def test_of_two_files_of_one_name_the_png_is_the_prediction(tmp_path):
    truths = _written(tmp_path / "gt", "1.png", "2.png")
    predictions = _written(tmp_path / "said", "1.jpg", "1.png", "2.jpg")
    assert _matched(truths, predictions) == ({"1": "1.png", "2": "2.jpg"}, [])  # which is refused when it is read


def test_frames_of_cityscapes_are_found_by_what_their_names_begin_with(tmp_path):
    frames = "aachen_000000_000019", "bad-honnef_000001_000019", "aachen_000001_000019"
    truths = _written(tmp_path / "gt", *(f"{name.partition('_')[0]}/{name}_gtFine_labelIds.png" for name in frames))
    predictions = _written(
        tmp_path / "said", f"{frames[0]}.png", f"x/{frames[1]}_leftImg8bit_pred.png", f"{frames[2]}-ids.png"
    )
    assert list(_matched(truths, predictions)[0].values()) == [
        f"{frames[0]}.png",
        f"{frames[2]}-ids.png",
        f"x/{frames[1]}_leftImg8bit_pred.png",
    ]
    assert len(_matched(truths, truths)[0]) == 3  # the truth itself, by its whole name


def test_a_name_that_only_begins_like_a_frame_is_none(tmp_path):
    truths = _written(tmp_path / "gt", "aachen_000000_000019_gtFine_labelIds.png")
    for name in ("aachen_000000_0000190.png", "aachen_000000.png", "xaachen_000000_000019.png"):
        predictions = _written(tmp_path / name, name)
        with pytest.raises(
            Invalid, match=r"no prediction for 1 of 1 label maps: aachen_000000_000019_gtFine_labelIds$"
        ):
            _matched(truths, predictions)


def test_what_does_not_match_is_a_line(tmp_path):
    truths = _written(tmp_path / "gt", *(f"{number}.png" for number in range(5)))
    predictions = _written(tmp_path / "said", "0.png")
    with pytest.raises(Invalid) as raised:
        _matched(truths, predictions)
    assert str(raised.value) == f"{predictions}: no prediction for 4 of 5 label maps: 1, 2, 3, …"
    _written(predictions, "a/1.png", "b/1.png", "2.png", "3.png", "4.png")
    with pytest.raises(Invalid) as raised:
        _matched(truths, predictions)
    assert str(raised.value) == f"two predictions for 1: {predictions}/a/1.png and {predictions}/b/1.png"
    with pytest.raises(Needs, match=r"^predictions as a folder of label maps, .*/absent$"):
        _matched(truths, tmp_path / "absent")
    with pytest.raises(Needs, match=r"^label maps as .*/absent/\*\*/\*\.png$"):
        label_maps.found(tmp_path / "absent")
