import importlib.util

import numpy as np
import pytest


@pytest.fixture
def scoring(script):
    return script("segmentation_scoring")


@pytest.mark.parametrize(
    "name",
    [
        "vitab",
        "vitab_intervals",
        "numpy_bincount",
        "scikit_learn",
        "torchmetrics",
        "torchmetrics_wide",
        "torchmetrics_unchecked",
    ],
)
def test_every_contender_finds_the_same_matrix(scoring, name):
    if name.startswith("torchmetrics") and importlib.util.find_spec("torchmetrics") is None:
        pytest.skip("torchmetrics, of the extra `bench`, is not installed")
    random, expected, maps = np.random.default_rng(0), np.zeros((scoring.CLASSES,) * 2, dtype=np.int64), []
    for number in range(3):
        truth, prediction = (random.integers(0, scoring.CLASSES, (9, 14), dtype=np.uint8) for _ in range(2))
        truth[number] = scoring.IGNORED
        maps.append((str(number), truth, prediction))
        for right, said in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if right != scoring.IGNORED:
                expected[right, said] += 1
    assert np.array_equal(getattr(scoring, name)(maps), expected)


def test_its_label_maps_are_regions_and_mostly_right(scoring):
    truth, prediction = scoring._pair(np.random.default_rng(0))
    assert truth.shape == prediction.shape
    assert truth.shape[0] == 512 <= truth.shape[1] <= 855
    assert truth.dtype == prediction.dtype == np.uint8
    counted = truth != scoring.IGNORED
    assert 0 < np.mean(~counted) < 0.2
    assert 0.5 < np.mean(truth[counted] == prediction[counted]) < 0.95
    assert np.mean(truth[:, 1:] == truth[:, :-1]) > 0.95
