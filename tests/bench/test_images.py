import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as TF

from bench.images import InMemory, before_crop, by_class, resized, subset

PIXELS = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "crop", "side"), [(224, 0.875, 256), (224, 0.9, 248), (384, 1.0, 384), (8, 1.0, 8), (8, 0.5, 16)]
)
def test_the_side_before_the_crop_is_timms(size, crop, side):
    assert before_crop(size, crop) == side


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "crop"), [(16, 1.0), (5, 1.0), (8, 0.8), (8, 1.0)])
def test_images_in_memory_are_resized_as_torchvision_does_it(interpolation, size, crop):
    mode = {"nearest": TF.InterpolationMode.NEAREST_EXACT}.get(interpolation, TF.InterpolationMode(interpolation))
    side = before_crop(size, crop)
    expected = TF.center_crop(TF.resize(PIXELS, [side, side], mode, antialias=True), [size, size])
    assert torch.allclose(resized(PIXELS, size=size, crop=crop, interpolation=interpolation), expected, atol=1e-6)


def test_at_their_own_size_images_are_what_they_are():
    assert torch.equal(resized(PIXELS, size=8, crop=1.0, interpolation="bicubic"), PIXELS)


def test_bilinear_agrees_with_pillow():
    pixels = (PIXELS[0, 0] * 255).round()
    theirs = Image.fromarray(pixels.byte().numpy()).resize((16, 16), Image.Resampling.BILINEAR)
    ours = resized(pixels[None, None], size=16, crop=1.0, interpolation="bilinear")[0, 0]
    assert (ours - torch.from_numpy(np.array(theirs))).abs().max() <= 1.0  # Pillow rounds


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_share_takes_some_of_every_class_and_grows_with_the_share(labels, share):
    images = InMemory(torch.zeros(len(labels), 1, 1, 1), torch.tensor(labels))
    taken = subset(images, share).indices.tolist()
    assert taken == sorted(set(taken))
    assert {labels[index] for index in taken} == set(labels)
    assert set(taken) <= set(subset(images, 1.0).indices.tolist())
    for label in set(labels):
        count = labels.count(label)
        assert sum(labels[index] == label for index in taken) == max(1, round(share * count))


def test_the_order_within_a_class_is_the_hashs_and_not_the_files():
    groups = by_class([0] * 20 + [1] * 20)
    assert [sorted(group) for group in groups] == [list(range(20)), list(range(20, 40))]
    assert groups[0] != sorted(groups[0])
    assert by_class([0] * 20)[0] == groups[0]
