import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from bench.errors import Invalid
from bench.segmentation import confusion
from bench.segmentation.confusion import Confusion, Sums, ignored, tally

CLASSES = 7
KINDS = (np.uint8, np.uint16, np.int16, np.int64)


@st.composite
def two_maps(draw):
    """A truth and a prediction of one size, of any two types, a part of either without a class."""
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))
    maps = []
    for _ in range(2):
        kind = np.dtype(draw(st.sampled_from(KINDS)))
        labels = st.one_of(st.integers(0, CLASSES - 1), st.just(ignored(kind)))
        maps.append(draw(arrays.arrays(kind, shape, elements=labels)))
    return maps


def _as_sklearn(truth, prediction):
    """Labels of pixels whose truth is a class; CLASSES where the prediction is none."""
    flat = [np.where(one == ignored(one.dtype), CLASSES, one.astype(np.int64)).ravel() for one in (truth, prediction)]
    counted = flat[0] < CLASSES
    return flat[0][counted], flat[1][counted]


@settings(max_examples=100, deadline=None)
@given(two_maps())
def test_it_is_scikit_learns_matrix_of_any_maps(maps):
    whole = Confusion.of(CLASSES)
    whole.add(*maps)
    truth, prediction = _as_sklearn(*maps)
    if len(truth):
        theirs = confusion_matrix(truth, prediction, labels=range(CLASSES + 1))
        assert np.array_equal(whole.counts, theirs[:CLASSES])
    else:
        assert not whole.counts.any()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_objects_and_noise_are_counted_alike(kind, share):
    random = np.random.default_rng(0)
    truth = np.repeat(np.repeat(random.integers(0, CLASSES, (6, 8)), 20, axis=0), 20, axis=1).astype(kind)
    noise = random.integers(0, CLASSES, truth.shape).astype(kind)
    prediction = np.where(random.random(truth.shape) < share, noise, truth)
    whole = Confusion.of(CLASSES)
    whole.add(truth, prediction)
    assert np.array_equal(whole.counts[:, :-1], confusion_matrix(truth.ravel(), prediction.ravel()))
    assert not whole.counts[:, -1].any()


def test_the_numbers_are_scikit_learns():
    random = np.random.default_rng(1)
    truth = random.integers(0, CLASSES, (50, 60), dtype=np.uint8)
    prediction = np.where(random.random(truth.shape) < 0.6, truth, random.integers(0, CLASSES, truth.shape))
    whole = Confusion.of(CLASSES)
    whole.add(truth, prediction.astype(np.uint8))
    flat = truth.ravel(), prediction.ravel()
    assert whole.numbers == {
        "miou": pytest.approx(100 * jaccard_score(*flat, average="macro"), abs=1e-10),
        "pixel_accuracy": pytest.approx(100 * accuracy_score(*flat), abs=1e-10),
        "mean_accuracy": pytest.approx(100 * recall_score(*flat, average="macro"), abs=1e-10),
    }
    ious, recalls = jaccard_score(*flat, average=None), recall_score(*flat, average=None)
    found = whole.per_class
    assert [found[number]["iou"] for number in range(CLASSES)] == pytest.approx(100 * ious, abs=1e-10)
    assert [found[number]["accuracy"] for number in range(CLASSES)] == pytest.approx(100 * recalls, abs=1e-10)


def test_a_set_that_can_be_counted_by_hand():
    void = 255
    truth = np.array([[0, 0, 0, 0], [1, 1, void, void]], dtype=np.uint8)
    prediction = np.array([[0, 0, 0, 1], [1, 2, 0, void]], dtype=np.uint8)
    whole = Confusion.of(4)
    whole.add(truth, prediction)
    assert whole.per_class == {
        0: {"iou": 75.0, "accuracy": 75.0, "truth": 4, "predicted": 3},  # 3 of 4 and 3
        1: {"iou": 100 / 3, "accuracy": 50.0, "truth": 2, "predicted": 2},  # 1 of 2 and 2
        2: {"iou": 0.0, "truth": 0, "predicted": 1},  # no truth to be right about, and an error
        3: {"truth": 0, "predicted": 0},
    }
    assert whole.absent == (3,)
    assert whole.numbers == {
        "miou": pytest.approx((75 + 100 / 3 + 0) / 3),
        "pixel_accuracy": pytest.approx(100 * 4 / 6),
        "mean_accuracy": pytest.approx((75 + 50) / 2),
    }


def test_pixels_are_summed_over_the_set_before_they_are_divided():
    large, small = np.zeros((10, 10), dtype=np.uint8), np.zeros((1, 2), dtype=np.uint8)
    truths, predictions = [large.copy(), small.copy()], [large.copy(), small.copy()]
    truths[0][0, 0] = 1
    predictions[0][0, 0] = 1  # a class of one pixel, found
    truths[1][0, 0] = 1  # and of one pixel, missed
    whole, means = Confusion.of(2), []
    for truth, prediction in zip(truths, predictions, strict=True):
        one = Confusion.of(2)
        one.add(truth, prediction)
        means.append(one.numbers["miou"])
        whole += one
    assert whole.numbers["miou"] == pytest.approx((100 * 100 / 101 + 50) / 2)
    assert np.mean(means) == pytest.approx((100 + 25) / 2)  # another number


def test_a_perfect_prediction_is_all_right_whatever_is_said_where_no_class_is():
    random = np.random.default_rng(2)
    truth = random.integers(0, 5, (20, 30), dtype=np.uint8)
    truth[:4] = 255
    prediction = truth.copy()
    prediction[:4] = random.integers(0, 5, (4, 30), dtype=np.uint8)
    whole = Confusion.of(5)
    whole.add(truth, prediction)
    assert whole.numbers == {"miou": 100.0, "pixel_accuracy": 100.0, "mean_accuracy": 100.0}


def test_a_pixel_without_a_predicted_class_is_a_miss_and_nobodys_mistake():
    whole = Confusion.of(2)
    whole.add(np.zeros((1, 4), dtype=np.uint8), np.array([[0, 0, 0, 255]], dtype=np.uint8))
    assert whole.per_class[0] == {"iou": 75.0, "accuracy": 75.0, "truth": 4, "predicted": 3}
    assert whole.numbers == {"miou": 75.0, "pixel_accuracy": 75.0, "mean_accuracy": 75.0}


def test_a_set_without_a_counted_pixel_has_no_numbers():
    whole = Confusion.of(3)
    assert whole.numbers == {}
    whole.add(np.full((2, 2), 255, dtype=np.uint8), np.zeros((2, 2), dtype=np.uint8))
    whole.add(np.zeros((0, 3), dtype=np.uint8), np.zeros((0, 3), dtype=np.uint8))
    assert whole.numbers == {}
    assert whole.absent == (0, 1, 2)


def test_counts_stay_exact_beyond_what_a_float_of_32_bits_holds():
    image = np.zeros((1, 2**24), dtype=np.uint8)
    image[0, 0] = 1
    whole = Confusion.of(2)
    whole.add(image, image)
    whole.add(image, image)
    assert whole.counts.tolist() == [[2**25 - 2, 0, 0], [0, 2, 0]]


def test_sums_of_an_image_are_those_of_its_matrix():
    random = np.random.default_rng(3)
    truth, prediction = (random.integers(0, 6, (9, 9), dtype=np.uint8) for _ in range(2))
    truth[truth == 5], prediction[prediction == 5] = 255, 255
    compared, whole = tally(truth, prediction, 8), Confusion.of(8)
    whole.count(compared)
    for name in Sums._fields:
        assert np.array_equal(getattr(compared.sums, name), getattr(whole.sums, name)), name
        assert getattr(compared.sums, name).dtype == np.int64


def test_maps_that_are_not_in_one_piece_of_memory_are_counted_as_they_look():
    random = np.random.default_rng(4)
    truth, prediction = (random.integers(0, 5, (8, 6), dtype=np.uint8) for _ in range(2))
    plain, turned = Confusion.of(5), Confusion.of(5)
    plain.add(truth, prediction)
    turned.add(truth.T, np.asfortranarray(prediction).T)
    assert np.array_equal(plain.counts, turned.counts)


@pytest.mark.parametrize(
    ("truth", "prediction", "classes", "said"),
    [
        (
            np.zeros((2, 3), np.uint8),
            np.zeros((3, 2), np.uint8),
            3,
            "x.png: the truth is 2 × 3 pixels (rows × columns), the prediction 3 × 2",
        ),
        (
            np.array([[0, 1], [2, 3]], np.uint8),
            np.zeros((2, 2), np.uint8),
            3,
            "x.png: the truth has label 3 at row 1, column 1; allowed: 0 … 2, and 255 for no class",
        ),
        (
            np.zeros((1, 2), np.uint8),
            np.array([[0, -2]], np.int32),
            3,
            "x.png: the prediction has label -2 at row 0, column 1; allowed: 0 … 2, and -1 for no class",
        ),
        (
            np.zeros((1, 2), np.uint8),
            np.array([[0.0, 1.0]], np.float32),
            3,
            "x.png: the prediction is of float32; labels are integers",
        ),
        (
            np.zeros((1, 2), np.uint8),
            np.zeros((1, 2), np.int64),
            256,
            "x.png: the truth is of uint8, in which 255 is no class; 256 classes need a wider type",
        ),
    ],
)
def test_what_cannot_be_compared_is_a_line(truth, prediction, classes, said):
    with pytest.raises(Invalid) as raised:
        tally(truth, prediction, classes, "x.png")
    assert str(raised.value) == said


def test_noise_with_a_label_that_is_no_class_is_refused_too():
    prediction = np.random.default_rng(5).integers(0, 3, (30, 30), dtype=np.uint8)
    prediction[7, 9] = 200
    with pytest.raises(Invalid, match=r"^an image: the prediction has label 200 at row 7, column 9; allowed: 0 … 2"):
        tally(prediction % 3, prediction, 3)


@pytest.mark.parametrize("classes", [0, 4097])
def test_a_matrix_has_classes_and_not_too_many(classes):
    with pytest.raises(Invalid, match=rf"^a confusion matrix of {classes:,} classes; allowed: 1 … 4,096$"):
        Confusion.of(classes)


def test_numbers_of_many_resamples_are_those_of_each():
    random = np.random.default_rng(6)
    both = random.integers(0, 3, (40, CLASSES))
    truth, predicted = both + random.integers(0, 3, both.shape), both + random.integers(0, 3, both.shape)
    together = confusion.numbers(Sums(both, truth, predicted))
    for row in range(40):
        alone = confusion.numbers(Sums(both[row], truth[row], predicted[row]))
        assert {name: values[row] for name, values in together.items()} == alone
