import msgspec
import pytest

from bench.trial import Evaluate, Input, Train


@pytest.mark.parametrize("struct", [Input, Evaluate, Train])
def test_an_image_has_a_side_that_its_rules_can_be_worked_out_for(struct):
    for side in (0, 16_385, 999_999_999_989):
        with pytest.raises(msgspec.ValidationError, match=r"^Expected `int` [<>]= \d+ - at `\$\.image`$"):
            msgspec.convert({"image": side}, struct)
    assert msgspec.convert({"image": 16_384}, Input) == Input(image=16_384)
