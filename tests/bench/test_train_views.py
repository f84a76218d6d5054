import random

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.random_erasing import RandomErasing

from bench import data
from bench.batches import feed
from bench.errors import Invalid
from bench.images import InMemory
from bench.train import recipe as published
from bench.train import views
from bench.train.random_numbers import drawn_by

STRONG = {
    "random_crop": (0.3, 1.0),
    "flip": 0.5,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "erase": 1.0,
    "erase_mode": "pixel",
}
HOW = {"size": 16, "crop": 1.0, "interpolation": "bilinear"}


@pytest.fixture
def colours(image_folder):
    """Twenty-odd images in colour, decoded from files."""
    options = {"set": "shades", "classes": 3, "root": str(image_folder()), "selection": 0.25}
    return feed(data.load(data.resolve("imagefolder", options), "train"), device="cpu", **HOW)


@pytest.fixture
def recipe(digits_trial):
    """A function that gives a recipe at 16 pixels with some fields changed."""
    return lambda **changed: digits_trial(image=16, train=changed).train


def _pixels(feed, order, train, *, seed=0, epoch=0):
    return torch.cat([pixels for _, pixels, _ in views.views(feed, [order], train, seed=seed, epoch=epoch)])


def test_a_view_of_a_picture_is_what_timms_transform_makes_of_it(colours, recipe):
    train = recipe(**STRONG, interpolation="bicubic")
    theirs = create_transform(
        16,
        is_training=True,
        scale=(0.3, 1.0),
        hflip=0.5,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        re_prob=1.0,
        re_mode="pixel",
    )
    ours = _pixels(colours, torch.arange(4), train, seed=3, epoch=2)
    for index in range(4):
        with drawn_by(f"view 3 2 {index}"):
            assert torch.equal(ours[index], theirs(colours.images.picture(index)))


def test_erasing_alone_is_timms_on_the_images_as_they_are(colours, recipe):
    digits = feed(data.load(data.resolve("digits", {}), "train"), device="cpu", **HOW)
    eraser = RandomErasing(0.7, mode="rand", max_count=2, device="cpu")
    for images in (digits, colours):
        ours = _pixels(images, torch.arange(6), recipe(erase=0.7, erase_mode="rand", erase_count=2))
        for index in range(6):
            with drawn_by(f"view 0 0 {index}"):
                assert torch.equal(ours[index], eraser(images.images.image(index, **HOW)))
    assert not torch.equal(ours, _pixels(colours, torch.arange(6), recipe()))
    assert torch.equal(digits.pixels, digits.images.tensor(**HOW))  # what is kept in memory stays as it is


def test_a_view_depends_on_seed_epoch_and_visit_and_on_nothing_else(colours, recipe):
    train, order = recipe(**STRONG), torch.tensor([5, 0, 7, 3])
    together = _pixels(colours, order, train, seed=3, epoch=2)
    for place in range(4):
        assert torch.equal(_pixels(colours, order[place][None], train, seed=3, epoch=2)[0], together[place])
    for seed, epoch, visits in ((4, 2, order), (3, 1, order), (3, 2, order + len(colours))):
        assert not torch.equal(_pixels(colours, visits, train, seed=seed, epoch=epoch), together)
    elsewhere = feed(colours.images, device="cpu", workers=1, **HOW)
    assert torch.equal(_pixels(elsewhere, order, train, seed=3, epoch=2), together)


def test_drawing_a_view_moves_nobodys_random_numbers(colours, recipe):
    drawn = []
    for look in (lambda: None, lambda: _pixels(colours, torch.arange(3), recipe(**STRONG))):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        look()
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


def test_without_random_crops_it_is_the_whole_image_or_the_square_at_its_centre(recipe):
    train = recipe(flip=1.0)
    wide = Image.fromarray(np.arange(20 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(20, 32, 3))
    seen = views.transform(train, ((0.0,) * 3, (1.0,) * 3))(wide)
    square = wide.crop((6, 0, 26, 20)).resize((16, 16), Image.Resampling.BILINEAR)
    expected = np.array(square)[:, ::-1].transpose(2, 0, 1) / 255
    assert np.abs(seen.numpy() - expected).max() < 1e-6


def test_grey_images_go_through_colours_and_stay_grey(recipe):
    digits = feed(data.load(data.resolve("digits", {}), "train"), device="cpu", **HOW)
    seen = _pixels(digits, torch.arange(8), recipe(**STRONG, color_jitter=0.4))
    assert seen.shape == (8, 1, 16, 16)
    flipped = _pixels(digits, torch.arange(8), recipe(flip=1.0))
    assert (flipped - digits.pixels[:8].flip(3)).abs().max() < 0.02  # 256 levels, two of which are 2/255 apart


def test_a_picture_of_what_is_in_memory_has_its_pixels_in_256_levels():
    levels = torch.arange(256, dtype=torch.float32).view(1, 1, 16, 16)
    grey = InMemory(levels / 127.5 - 1, torch.zeros(1, dtype=torch.int64))
    assert np.array_equal(np.array(grey.picture(0)), levels[0, 0].numpy())
    colour = InMemory(levels.repeat(1, 3, 1, 1) / 255, torch.zeros(1), pixels_are=((0.0,) * 3, (1.0,) * 3))
    assert colour.picture(0).mode == "RGB"
    assert np.array_equal(np.array(colour.picture(0))[..., 2], levels[0, 0].numpy())


@pytest.mark.parametrize(("count", "repeats"), [(600, 3), (600, 2), (100, 3), (256, 1)])
def test_repeated_augmentation_shows_what_timms_sampler_does(count, repeats):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))  # as the sampler draws epoch 0
    sampler = RepeatAugSampler(range(count), num_replicas=1, rank=0, num_repeats=repeats)
    shown = views.visits(order, repeats)
    assert (shown % count).tolist() == list(sampler)
    assert len(set(shown.tolist())) == len(shown)  # each in a view of its own
    four = [list(RepeatAugSampler(range(count), num_replicas=4, rank=rank, num_repeats=repeats)) for rank in range(4)]
    together = [index for step in zip(*four, strict=True) for index in step]
    assert together[: len(shown)] == (shown % count).tolist()[: len(together)]  # batch by batch what one process shows


def test_an_epoch_of_repeated_images_has_whole_batches_of_what_is_shown(recipe):
    train = recipe(repeats=3, batch=64)
    for count in (100, 255, 256, 600):
        shown = len(views.visits(torch.arange(count), 3))
        assert views.steps_per_epoch(count, train) == shown // 64
    assert views.steps_per_epoch(600, recipe(batch=64)) == 600 // 64


def test_data_without_pictures_are_refused_where_pictures_are_wanted(recipe):
    class Numbers:
        labels = torch.zeros(4, dtype=torch.int64)

        def tensor(self, **how):
            return torch.zeros(4, 1, 16, 16)

    numbers = feed(Numbers(), device="cpu", **HOW)
    views.check_pictures(numbers, recipe(erase=0.5))
    with pytest.raises(Invalid, match=r"^these data have no pictures to crop, flip or recolour"):
        views.check_pictures(numbers, recipe(flip=0.5))


@pytest.mark.parametrize(
    "policy", ["rand-m9-mstd0.5-inc1", "rand-m15-n2", "augmix-m3-w3", "original", "originalr", "v0", "v0r", "3a"]
)
def test_every_policy_that_may_be_named_is_timms(recipe, colours, policy):
    train = recipe(auto_augment=policy)
    views.check_pictures(colours, train)
    assert _pixels(colours, torch.arange(2), train).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(("name", "probability"), [("augreg", 1.0), ("deit", 0.5), ("mixer", 1.0), ("swin", 0.5)])
def test_magnitudes_of_published_recipes_are_not_cut_by_timm(name, probability, recipe):
    """timm takes 10 for whatever is larger, unless it is told what the largest is."""
    made = views.transform(recipe(auto_augment=published(name)["auto_augment"]), ((0.5,) * 3, (0.5,) * 3))
    drawn = {(one.magnitude, one.magnitude_max or 10, one.prob) for one in views._operations(made)}
    assert {(magnitude <= largest, chance) for magnitude, largest, chance in drawn} == {(True, probability)}


def test_recipes_can_be_told_apart_by_their_views(recipe):
    train = recipe(**STRONG)
    assert hash(train) != hash(msgspec.structs.replace(train, flip=0.0))


def test_a_picture_of_which_no_bit_is_kept_is_black_and_no_error(recipe, colours):
    picture = colours.images.picture(0).convert("RGB")
    operations = list(views._operations(views.transform(recipe(auto_augment="rand-m9-inc1"), ((0.5,) * 3, (0.5,) * 3))))
    (posterize,) = [one.aug_fn for one in operations if getattr(one.aug_fn, "func", None) is views._posterized]
    assert posterize(picture, 0).getextrema() == ((0, 0),) * 3
    assert np.array_equal(np.array(posterize(picture, 4)), np.array(picture) & 0xF0)
