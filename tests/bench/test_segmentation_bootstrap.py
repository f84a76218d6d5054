import numpy as np
import pytest

from bench.errors import Invalid
from bench.segmentation import bootstrap, scoring
from bench.segmentation.confusion import Confusion
from bench.segmentation.per_image import PerImage

CLASSES = 5


def _maps(count, *, seed=0, right=0.7, truth_seed=0):
    """Named truths and predictions of small images, each of which shows some of the classes."""
    truths, random = np.random.default_rng(truth_seed), np.random.default_rng(seed)
    for number in range(count):
        truth = truths.choice(truths.permutation(CLASSES)[:3], (6, 8)).astype(np.uint8)
        noise = random.integers(0, CLASSES, truth.shape, dtype=np.uint8)
        yield f"image{number}", truth, np.where(random.random(truth.shape) < right, truth, noise)


def _scored(count=40, **given):
    return scoring.score(_maps(count, **given), CLASSES).images


def test_a_draw_is_the_set_of_the_images_that_were_drawn():
    maps = list(_maps(12))
    images = scoring.score(maps, CLASSES).images
    drawn = bootstrap._drawn(images, 20, seed=3)
    times = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12), size=20)
    for number, row in enumerate(times):
        again = Confusion.of(CLASSES)
        for (_, truth, prediction), count in zip(maps, row, strict=True):
            for _ in range(count):
                again.add(truth, prediction)
        assert {name: values[number] for name, values in drawn.items()} == pytest.approx(again.numbers, abs=1e-10)


def test_many_draws_are_those_of_few(monkeypatch):
    images = _scored()
    together = bootstrap._drawn(images, 30, seed=0)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 7)
    apart = bootstrap._drawn(images, 30, seed=0)
    assert all(np.array_equal(values, apart[name]) for name, values in together.items())


def test_the_interval_holds_the_value_and_narrows_with_the_number_of_images():
    few, many = (bootstrap.intervals(_scored(count)) for count in (20, 320))
    for name in ("miou", "pixel_accuracy", "mean_accuracy"):
        assert few[name].low < few[name].value < few[name].high
        ratio = (few[name].high - few[name].low) / (many[name].high - many[name].low)
        assert 2.5 < ratio < 6.5, name  # √16 = 4
    assert bootstrap.intervals(_scored(20)) == few  # the seed decides it


def test_the_interval_of_pixel_accuracy_is_the_standard_errors():
    images = _scored(200)
    found = bootstrap.intervals(images, draws=2000)["pixel_accuracy"]
    each = np.bincount(images.image, images.intersection) / 48 * 100  # all images have 48 pixels
    half = 1.96 * each.std(ddof=1) / np.sqrt(200)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_class_that_a_draw_loses_moves_no_interval_away_from_its_number():
    """Each class is shown by one image alone, rightly, and predicted in all others wrongly, at one pixel."""
    classes, maps = 12, []
    for number in range(classes):
        truth = np.full((3, classes), number, dtype=np.uint8)
        prediction = truth.copy()
        prediction[0] = range(classes)
        maps.append((str(number), truth, prediction))
    images = scoring.score(maps, classes).images
    drawn = bootstrap._drawn(images, 1000, seed=0)["miou"]
    found = bootstrap.intervals(images)["miou"]
    assert np.percentile(drawn, 97.5) < found.value  # as they are, nearly all draws lie below
    assert found.low < found.value < found.high <= 100
    assert found.high - found.low == pytest.approx(np.diff(np.percentile(drawn, (2.5, 97.5)))[0])


def test_no_interval_leaves_what_a_percentage_can_be():
    images = _scored(5, right=0.99)
    found = bootstrap.intervals(images)["pixel_accuracy"]
    plain = np.percentile(bootstrap._drawn(images, 1000, seed=0)["pixel_accuracy"], (2.5, 97.5))
    assert found.value < found.high <= 100
    assert found.low == pytest.approx(plain[0], abs=0.2)


def test_standard_deviations_are_those_of_the_draws():
    images = _scored()
    found = bootstrap.deviations(images, draws=300)
    drawn = bootstrap._drawn(images, 300, seed=0)
    assert found == {name: pytest.approx(values.std(ddof=1)) for name, values in drawn.items()}


def test_a_difference_cancels_what_both_models_find_hard():
    one, other = _scored(seed=1, right=0.7), _scored(seed=2, right=0.5)
    difference = bootstrap.differences(one, other)
    for name, interval in difference.items():
        alone = bootstrap.intervals(one)[name], bootstrap.intervals(other)[name]
        assert interval.value == pytest.approx(alone[0].value - alone[1].value)
        assert 0 < interval.low < interval.value < interval.high
    same = bootstrap.differences(one, one)
    assert {(interval.value, interval.low, interval.high) for interval in same.values()} == {(0.0, 0.0, 0.0)}


def test_models_that_were_scored_on_other_images_are_not_compared():
    images = _scored(10)
    with pytest.raises(Invalid, match=r"^two models are compared on the same images, in the same classes; "):
        bootstrap.differences(images, _scored(11))
    with pytest.raises(Invalid, match=r"^two models are compared on the same truth; that of 'image\d' differs$"):
        bootstrap.differences(images, _scored(10, truth_seed=9))


def test_a_draw_without_a_counted_pixel_is_left_out():
    void = np.full((1, 4), 255, dtype=np.uint8)
    right = np.zeros((1, 4), dtype=np.uint8)
    images = scoring.score([("void", void, right), ("right", right, right)], 1).images
    assert np.isnan(bootstrap._drawn(images, 50, seed=0)["miou"]).any()
    found = bootstrap.intervals(images, draws=50)
    assert {(interval.value, interval.low, interval.high) for interval in found.values()} == {(100.0, 100.0, 100.0)}


def test_what_is_kept_is_read_back(tmp_path):
    images = _scored(7)
    np.savez_compressed(tmp_path / "kept.npz", **images.arrays())
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as kept:
        again = PerImage.of_arrays(dict(kept))
    assert again.names == images.names == tuple(f"image{number}" for number in range(7))
    assert bootstrap.intervals(again) == bootstrap.intervals(images)
    assert all(np.array_equal(*of) for of in zip(again.sums, images.sums, strict=True))
