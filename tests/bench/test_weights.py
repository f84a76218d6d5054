import pytest

from bench import weights
from bench.errors import Needs


def test_weights_that_are_not_those_that_were_trained_are_refused_and_what_to_do_is_said(
    tmp_path, trained, digits_trial
):
    folder = trained(digits_trial()).folder
    other = trained(digits_trial(seed=1)).folder
    mine, theirs = weights.done(folder).weights, weights.done(other).weights
    (other / weights.WEIGHTS).replace(folder / weights.WEIGHTS)
    with pytest.raises(Needs) as caught:
        weights.trained(folder)
    assert str(caught.value) == (
        f"weights {folder.name} as they were trained: {mine[:12]}, not {theirs[:12]}; remove {folder} to train again"
    )
