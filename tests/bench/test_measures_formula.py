"""Values of formulas: closed forms, and what papers say of their models."""

import msgspec
import pytest

from bench import models
from bench.errors import Invalid
from bench.identity import record_key
from bench.measures import formula
from bench.models.formula import Knobs
from bench.subject import Subject
from bench.trial import Input, Trial

SWIN = {"name": "timm:swin_tiny_patch4_window7_224"}
VIT = {"name": "timm:vit_base_patch16_224"}
RESNET = {"name": "timm:resnet18"}


def _trial(expression, numbers=None, **parts):
    named = {name: {"model": part, "image": 224} for name, part in parts.items()}
    knobs = {"expression": expression, "numbers": numbers or {}, "models": named}
    return Trial(model=models.resolve("formula", knobs), input=Input(image=224))


def _value(expression, numbers=None, **parts):
    trial = _trial(expression, numbers, **parts)
    models.check(trial.model, trial.input)
    (quantity,) = formula.measure(trial, Subject(store="nowhere")).values()
    assert (quantity.unit, quantity.better) == ("", None)
    return quantity.samples[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('params(swin, "*.relative_position_bias_table")', 23_322),  # (2 · 7 − 1)² a head, 138 heads
        ('params(swin, "head")', 769_000),
        ('read(swin, "layers.0.blocks.0.attn.window_size")', 7),
        ('read(swin, "layers.0.blocks.1.shift_size")', 3),
        ('size(swin, "layers.1", 3)', 192),  # 2C × H/8 × W/8
        ('size(swin, "layers.1", 1)', 28),
    ],
)
def test_what_is_read_of_swin_is_what_its_paper_says(expression, expected):
    assert _value(expression, swin=SWIN) == expected


def test_counts_of_a_model_and_of_one_of_its_modules_are_those_of_the_closed_forms():
    tokens, dim = 197, 768
    attention = 4 * tokens * dim**2 + 2 * tokens**2 * dim
    assert _value('flops(vit, "blocks.3.attn")', vit=VIT) == attention
    assert _value("params(vit) / 10**6", vit=VIT) == 86.567656
    assert _value("flops(vit)", vit=VIT) == (
        12 * (attention + 8 * tokens * dim**2) + 196 * 768 * dim + dim * 1000
    )  # blocks, patches, head


def test_one_formula_may_ask_several_models():
    share = _value('size(resnet, "layer1", 1) / size(vit, "blocks.0", 2)', resnet=RESNET, vit=VIT)
    assert share == pytest.approx(64 / 768)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ('params(swin, "haed")', "no parameter of timm:swin_tiny_patch4_window7_224 'haed'"),
        ('flops(swin, "layers.9")', "no module of timm:swin_tiny_patch4_window7_224 'layers.9'"),
        ('size(swin, "layers.0", 7)', "returns nothing with an axis 7"),
        ('size(swin, "layers.0")', "size() needs a model and a text, a number"),
        ('read(swin, "layers.0.deepth")', "nothing is called 'deepth' there"),
        ('read(swin, "__class__.__name__")', "nothing is called '__class__' there"),
        ('read(swin, "layers")', "is no number"),
        ("flops(swin, 3)", "flops() needs a model and a text"),
    ],
)
def test_what_a_model_does_not_have_is_one_line(expression, said):
    with pytest.raises(Invalid) as caught:
        _value(expression, swin=SWIN)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "numbers", "said"),
    [
        ("side**2", {}, "side**2: no number 'side'; there is none here"),
        ("sied**2", {"side": 1}, "sied**2: no number 'sied'; nearest: 'side'"),
        ("2**2", {"side": 1}, "2**2: does not use the number 'side'"),
        ("params(vit)", {}, "params(vit): no model 'vit'; there is none here"),
        ("params(3)", {}, "params() is of a model: its name stands first"),
        ("1 / side", {"side": 0}, "the expression divides by zero"),
    ],
)
def test_a_formula_that_cannot_have_a_value_is_invalid_before_anything_runs(expression, numbers, said):
    trial = _trial(expression, numbers)
    with pytest.raises(Invalid) as caught:
        models.check(trial.model, trial.input)
    assert str(caught.value) == said


def test_a_network_has_no_value_and_a_formula_no_layers():
    vit = Trial(model=models.resolve("vit", {}), input=Input(image=224))
    with pytest.raises(Invalid, match="vit is no formula"):
        formula.measure(vit, Subject(store="nowhere"))
    trial = _trial("1 + 1")
    with pytest.raises(Invalid, match=r"a formula has a value and nothing else: 1 \+ 1"):
        models.build(trial.model, trial.input)


def test_another_number_is_another_key_and_the_same_formula_the_same():
    def key(trial):
        return record_key("formula", formula.VERSION, formula.DEPENDS_ON, trial)

    assert key(_trial("a - b", {"a": 68.5, "b": 68.1})) == key(_trial("a - b", {"b": 68.1, "a": 68.5}))
    assert key(_trial("a - b", {"a": 68.5, "b": 68.1})) != key(_trial("a - b", {"a": 68.5, "b": 68.2}))
    assert key(_trial("params(m)", m=VIT)) != key(_trial("params(m)", m=SWIN))


def test_knobs_survive_a_record():
    knobs = _trial("max(a) + params(m)", {"a": (1, 2.5)}, m=VIT).model.knobs
    again = msgspec.json.decode(msgspec.json.encode(knobs))
    assert msgspec.convert(again, Knobs).numbers == {"a": (1.0, 2.5)}
