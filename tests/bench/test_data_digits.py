import pytest
import torch
from sklearn.datasets import load_digits

from bench import data
from bench.errors import Invalid, UserError
from bench.trial import Data

SPLITS = ("train", "selection", "report")


def _load(split, **changes):
    return data.load(data.resolve("digits", {}, **changes), split)


def test_it_is_every_image_of_scikit_learns_once_with_its_label():
    theirs = load_digits()
    pixels = (theirs.data / 8 - 1).tolist()
    labelled = sorted([*row, label] for row, label in zip(pixels, theirs.target.tolist(), strict=True))
    ours = []
    for split in SPLITS:
        images = _load(split)
        pixels = images.tensor(size=8, crop=1.0, interpolation="bilinear").flatten(1).double()
        ours += [[*row, label] for row, label in zip(pixels.tolist(), images.labels.tolist(), strict=True)]
    assert len(ours) == 1797
    assert sorted(ours) == labelled


def test_every_class_is_split_alike_and_the_sizes_are_those_of_the_docstring():
    counts = {split: torch.bincount(_load(split).labels, minlength=10) for split in SPLITS}
    assert {split: int(count.sum()) for split, count in counts.items()} == {
        "train": 1206,
        "selection": 146,
        "report": 445,
    }
    whole = sum(counts.values())
    assert torch.equal(counts["report"], whole // 4)
    assert torch.equal(counts["selection"], whole // 12)


def test_the_splits_are_those_that_they_were():
    """Fingerprints of pixels and labels: another one is another data set, and needs another VERSION."""
    assert {split: _load(split).fingerprint()[:16] for split in SPLITS} == FROZEN


FROZEN = {"train": "1b004e6acbc412ab", "selection": "7f13ee5a44322d68", "report": "4a6d49dcd93784ce"}


def test_facts_are_those_of_the_images_and_its_pixels_go_from_minus_one_to_one():
    images = _load("train")
    assert data.facts(data.resolve("digits", {})) == data.Facts(classes=10, channels=1, image=8)
    pixels = images.tensor(size=8, crop=1.0, interpolation="bilinear")
    assert pixels.shape == (1206, 1, 8, 8)
    assert (pixels.min().item(), pixels.max().item()) == (-1.0, 1.0)
    assert set(images.labels.tolist()) == set(range(10))


def test_a_share_of_it_is_the_same_images_of_every_class():
    tenth, fifth = _load("train", subset=0.1), _load("train", subset=0.2)
    assert len(tenth) == 120
    assert set(tenth.indices.tolist()) < set(fifth.indices.tolist())
    assert torch.bincount(tenth.labels).min() >= 11
    assert len(_load("report", subset=0.1)) == 445  # what is evaluated is never cut
    how = {"size": 16, "crop": 1.0, "interpolation": "bicubic"}
    assert torch.equal(tenth.tensor(**how)[7], tenth.image(7, **how))
    assert len({tenth.fingerprint(), fifth.fingerprint(), _load("train").fingerprint()}) == 3


def test_it_has_no_options_and_says_so():
    with pytest.raises(UserError, match=r"no field 'data.size'"):
        data.resolve("digits", {"size": 16})
    with pytest.raises(UserError, match=r"^no data set 'digit'; nearest: 'digits'$"):
        data.resolve("digit", {})


def test_a_plan_for_another_version_of_it_is_refused():
    with pytest.raises(Invalid, match=r"^data digits is version 1 here and was planned as version 2$"):
        data.load(Data(name="digits", version=2), "train")
