import numpy as np
import pytest
from PIL import Image

from bench.errors import Invalid
from bench.segmentation import confusion, label_maps, scoring
from bench.segmentation.confusion import Confusion
from bench.segmentation.label_rules import rules

CLASSES = 6


def _truths(count=5, *, low=0, high=CLASSES):
    random = np.random.default_rng(0)
    return [random.integers(low, high, (7, 9), dtype=np.uint8) for _ in range(count)]


def _named(truths, predictions):
    return [(str(number), *both) for number, both in enumerate(zip(truths, predictions, strict=True))]


def _noisy(truth, share=0.4):
    random = np.random.default_rng(1)
    return np.where(random.random(truth.shape) < share, random.integers(0, CLASSES, truth.shape), truth).astype(
        np.uint8
    )


def test_a_set_is_the_matrix_of_its_images_and_what_each_of_them_gave():
    truths = _truths()
    maps = _named(truths, [_noisy(truth) for truth in truths])
    scored, whole = scoring.score(iter(maps), CLASSES), Confusion.of(CLASSES)
    for number, (_, truth, prediction) in enumerate(maps):
        whole.add(truth, prediction)
        alone = Confusion.of(CLASSES)
        alone.add(truth, prediction)
        for of in confusion.Sums._fields:
            assert np.array_equal(scored.images.matrix(of).toarray()[number], getattr(alone.sums, of))
    assert np.array_equal(scored.confusion.counts, whole.counts)
    assert scored.pixels == 5 * 7 * 9
    assert scored.images.names == ("0", "1", "2", "3", "4")
    assert confusion.per_class(scored.images.sums) == whole.per_class


def test_of_an_image_only_the_classes_that_it_shows_are_kept():
    images = scoring.score([("a", np.zeros((2, 2), np.uint8), np.array([[0, 0], [3, 3]], np.uint8))], 150).images
    assert images.label.tolist() == [0, 3]
    assert [images.intersection.tolist(), images.truth.tolist(), images.predicted.tolist()] == [[2, 0], [4, 0], [2, 2]]


def test_a_set_without_a_counted_pixel_is_a_line():
    with pytest.raises(Invalid, match=r"^0 label maps, and no pixel in them that is of a class$"):
        scoring.score([], 3)
    void = np.full((2, 2), 255, dtype=np.uint8)
    with pytest.raises(Invalid, match=r"^1 label maps, and no pixel in them that is of a class$"):
        scoring.score([("a", void, void)], 3)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_predictions_that_count_from_another_number_are_seen(share):
    truths = _truths()
    one_less = [np.where(noisy > 0, noisy - 1, 255).astype(np.uint8) for noisy in (_noisy(t, share) for t in truths)]
    with pytest.raises(Invalid, match=r"^the predictions look off by one: taken for class k \+ 1 what they call k "):
        scoring.score(_named(truths, one_less), CLASSES)
    truths = _truths(high=CLASSES - 1)
    one_more = [np.minimum(_noisy(truth, share) + 1, CLASSES - 1).astype(np.uint8) for truth in truths]
    with pytest.raises(Invalid, match=r"^the predictions look off by one: taken for class k − 1 what they call k "):
        scoring.score(_named(truths, one_more), CLASSES)


def test_bad_predictions_are_no_reason_to_suspect_that():
    truths, random = _truths(), np.random.default_rng(2)
    for predictions in (
        [np.full_like(truth, 3) for truth in truths],  # one class everywhere
        [np.full_like(truth, 255) for truth in truths],  # none
        [random.integers(0, CLASSES, truth.shape, dtype=np.uint8) for truth in truths],
        [_noisy(truth, 0.8) for truth in truths],
        [CLASSES - 1 - truth for truth in truths],
    ):
        assert scoring.score(_named(truths, predictions), CLASSES).pixels == 315


@pytest.mark.parametrize("shown", [(5, 9), (5, 9, 20)])
def test_one_class_everywhere_is_no_reason_where_the_truth_shows_few_of_very_many(shown):
    truth = np.resize(np.array(shown, dtype=np.uint8), (6, 6))
    found = scoring.score([("a", truth, np.full_like(truth, shown[0] - 1))], 150)
    assert found.confusion.numbers == {"miou": 0.0, "pixel_accuracy": 0.0, "mean_accuracy": 0.0}


@pytest.fixture
def folders(tmp_path):
    """Truths and predictions on disk, and what they are of."""
    truths = _truths()
    predictions = [_noisy(truth) for truth in truths]
    for name, maps in (("gt", truths), ("said", predictions)):
        (tmp_path / name).mkdir()
        for number, labels in enumerate(maps):
            Image.fromarray(labels).save(tmp_path / name / f"{number}.png")
    return tmp_path / "gt", tmp_path / "said", _named(truths, predictions)


def _read(truths, predictions):
    matches, _ = label_maps.matched(label_maps.found(truths), truths, predictions)
    return scoring.read(matches, rules(CLASSES), rules(CLASSES))


def test_files_are_scored_as_the_arrays_that_they_hold(folders):
    truths, predictions, maps = folders
    found = scoring.score(_read(truths, predictions), CLASSES)
    assert np.array_equal(found.confusion.counts, scoring.score(maps, CLASSES).confusion.counts)


def test_a_prediction_of_another_size_is_named_with_both_sizes(folders):
    truths, predictions, _ = folders
    Image.new("L", (9, 6)).save(predictions / "3.png")
    with pytest.raises(Invalid) as raised:
        scoring.score(_read(truths, predictions), CLASSES)
    assert str(raised.value) == (
        f"{predictions}/3.png: 9 × 6 pixels (width × height), and the truth {truths}/3.png has 9 × 7"
    )


def test_the_digest_of_a_truth_sees_names_and_contents(folders):
    truths, _, _ = folders
    digests = [scoring.digest(truths, label_maps.found(truths))]
    content = (truths / "0.png").read_bytes()
    (truths / "0.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    digests.append(scoring.digest(truths, label_maps.found(truths)))
    (truths / "0.png").rename(truths / "00.png")
    digests.append(scoring.digest(truths, label_maps.found(truths)))
    assert len(set(digests)) == 3
    (truths / "00.png").rename(truths / "0.png")
    (truths / "0.png").write_bytes(content)
    assert scoring.digest(truths, label_maps.found(truths)) == digests[0]
