"""Models that eat sequences of tokens, among specs of images."""

import pytest

from bench.trial import Input

BASE = "study: s\nbase: {model: {name: transformer, depth: 1}}\n"
ROWS = "design: {one_factor: {model.heads: [4, 16]}}\n"


def _inputs(grid):
    return {work.trial.input for _, _, cell in grid.cells() for work in cell.works}


def test_a_model_of_sequences_states_its_own_input(planned):
    grid = planned(ROWS, base=BASE, columns="[params]")
    assert _inputs(grid) == {Input(image=None, tokens=64, classes=37_000)}


def test_what_a_spec_says_of_sequences_comes_before_what_the_model_says(planned):
    grid = planned(ROWS, base=BASE.replace("depth: 1", "tokens: 8, classes: 99"), columns="[params]")
    assert _inputs(grid) == {Input(image=None, tokens=8, classes=99)}


def test_an_image_that_is_null_is_the_usual_one(planned):
    grid = planned("design: {rows: [{id: a, model.image: null}]}\n", columns="[params]")
    assert _inputs(grid) == {Input(image=8, channels=1, classes=10)}


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            BASE.replace("}}", "}, data: digits}"),
            "s.yaml:2:46: transformer eats sequences of tokens, and no data here is of them",
        ),
        (
            BASE.replace("}}", "}, train: {recipe: tiny}}"),
            "s.yaml:2:54: transformer eats sequences of tokens, and no data here is of them",
        ),
        (
            BASE.replace("depth: 1", "image: 32"),
            "s.yaml:4:10: row '8': transformer eats sequences of tokens: leave `model.image` out",
        ),
        (
            BASE.replace("transformer", "timm:resnet18").replace("depth: 1", "tokens: 4"),
            "s.yaml:4:10: row 'base': timm:resnet18 eats images: leave `model.tokens` out",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(refused, base, said):
    assert refused(ROWS, base=base, columns="[params]").startswith(said)
