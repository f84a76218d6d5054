import json

import pytest
import torch
from torch import nn

import vitab
from bench.errors import Invalid, UserError
from vitab.__main__ import main
from vitab.breakdown import Part, folded


@pytest.fixture
def said(capsys):
    """A function that runs `vitab count` and returns (exit code, lines of output, lines of errors)."""

    def run(*words):
        code = main(["count", *words])
        ran = capsys.readouterr()
        return code, ran.out.splitlines(), ran.err.splitlines()

    return run


def _cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def _small():
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 5))


IMAGES = torch.zeros(2, 3, 8, 8)


def test_a_line_of_json_a_model(said):
    code, lines, errors = said("vit_base_patch16_224", "torchvision:vit_b_16", "vit", "--json")
    counts = {"image": 224, "convention": "macs", "params": 86_567_656, "flops": 17_563_828_224, "state": "measured"}
    assert [json.loads(line) for line in lines] == [
        {"model": "timm:vit_base_patch16_224", **counts},
        {"model": "torchvision:vit_b_16", **counts},
        {"model": "vit", **counts, "params": 5_717_416, "flops": 1_253_683_200},
    ]
    assert (code, errors) == (0, [])


def test_a_pattern_means_every_model_that_it_matches_each_said_as_soon_as_it_is_counted(said):
    code, lines, errors = said("resnet1?", "torchvision:resnet[15]*", "vi?", "--json")
    resnets = ["torchvision:resnet101", "torchvision:resnet152", "torchvision:resnet18", "torchvision:resnet50"]
    assert [json.loads(line)["model"] for line in lines] == ["timm:resnet18", *resnets, "vit"]
    assert (code, errors) == (0, [])


def test_a_table_says_what_was_counted(said):
    code, lines, errors = said("deit_tiny_patch16_224", "resnet18")
    assert (code, errors) == (0, [])
    assert [_cells(line) for line in (lines[0], *lines[2:4])] == [
        ["model", "image", "params", "FLOPs"],
        ["timm:deit_tiny_patch16_224", "224", "5.72M", "1.25G"],
        ["timm:resnet18", "224", "11.69M", "1.81G"],
    ]
    assert lines[4:] == [
        "",
        "macs: one multiply-add is one FLOP: linear layers, convolutions, matrix products, attention; one image",
    ]


def test_a_model_is_counted_at_its_own_image_size_or_at_the_one_given(said):
    _, lines, _ = said("swin_base_patch4_window12_384", "--json")
    assert json.loads(lines[0])["image"] == 384
    sizes = {}
    for image in ("224", "448"):
        _, lines, _ = said("resnet18", "--image", image, "--json")
        sizes[image] = json.loads(lines[0])["flops"] - 512 * 1000  # the head does not grow
    assert sizes["448"] == 4 * sizes["224"]


def test_by_module_the_parts_of_each_level_add_up_and_what_is_alike_is_one_line(said):
    code, lines, _ = said("deit_tiny_patch16_224", "--by", "module")
    assert code == 0
    rows = {cells[0]: cells[1:] for cells in map(_cells, lines[6:-2])}
    assert lines[4] == "timm:deit_tiny_patch16_224"
    assert rows["(all)"] == ["", "5.72M", "1.25G", "100.0 %"]
    assert rows["blocks.0–11"] == ["×12", "5.34M", "1.22G", "97.7 %"]
    assert rows["blocks.0–11.mlp.fc1"][:1] == ["×12"]
    assert rows["head"] == ["", "193.0k", "192.0k", "0.0 %"]
    _, lines, _ = said("deit_tiny_patch16_224", "--by", "module", "--json")
    modules = json.loads(lines[0])["modules"]
    assert modules[""] == {"params": 5_717_416, "flops": 1_253_683_200}
    direct = [part for name, part in modules.items() if name and "." not in name]
    assert sum(part["flops"] for part in direct) == 1_253_683_200
    assert sum(part["params"] for part in direct) == 5_717_416 - 192 - 197 * 192  # class token and positions


def test_by_operator_the_largest_comes_first(said):
    _, lines, _ = said("deit_tiny_patch16_224", "--by", "operator", "--json")
    operators = json.loads(lines[0])["operators"]
    tokens, dim = 197, 192
    assert list(operators.items()) == [
        ("linear", 12 * 12 * tokens * dim**2 + dim * 1000),
        ("attention", 12 * 2 * tokens**2 * dim),
        ("conv", 196 * 3 * 16**2 * dim),
    ]
    left_out = json.loads(lines[0])["left_out"]
    assert left_out == {
        "activation": 12 * tokens * 4 * dim,
        "softmax": 12 * 3 * tokens**2,
        "addition": 24 * tokens * dim + tokens * dim,  # around each half of a block, and the positions
        "normalisation": 25 * tokens * dim,
    }
    _, lines, _ = said("deit_tiny_patch16_224", "--by", "operator")
    assert lines[11:14:2] == ["| left out      |   numbers computed |", "| activation    |              1.82M |"]
    assert [_cells(line)[::2] for line in lines[7:10]] == [
        ["linear", "83.4 %"],
        ["attention", "14.3 %"],
        ["conv", "2.3 %"],
    ]


def test_the_convention_is_said_and_changes_the_count_by_the_norms(said):
    counts = {}
    for convention in ("macs", "fvcore"):
        _, lines, _ = said("deit_tiny_patch16_224", "--convention", convention, "--json")
        counts[convention] = json.loads(lines[0])
        assert counts[convention]["convention"] == convention
    assert counts["fvcore"]["flops"] - counts["macs"]["flops"] == 25 * 5 * 197 * 192
    _, lines, _ = said("deit_tiny_patch16_224", "--convention", "fvcore")
    assert lines[-1].startswith("fvcore: one multiply-add is one FLOP; normalisation and pooling too")


def test_a_difference_is_told_module_by_module(said):
    code, lines, _ = said("deit_tiny_distilled_patch16_224", "--diff", "deit_tiny_patch16_224")
    assert code == 0
    at = lines.index("timm:deit_tiny_distilled_patch16_224 at 224 less timm:deit_tiny_patch16_224 at 224")
    rows = {cells[0]: cells[1:] for cells in map(_cells, lines[at + 3 : -2])}
    assert rows["head_dist"] == ["", "+193.0k", "+192.0k"]  # its second head
    assert rows["(all)"][1] == "+193.4k"  # that, a token and its position
    assert "head" not in rows
    assert "patch_embed" not in rows


def test_models_that_count_alike_are_said_to(said):
    _, lines, _ = said("deit_base_patch16_224", "--diff", "vit_base_patch16_224")
    assert "no module counts otherwise" in lines


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["vit_bas_patch16_224"], "no model 'vit_bas_patch16_224'; nearest: 'vit_base_patch16_224'"),
        (["torchvision:vit_b16"], "no torchvision model 'vit_b16'; nearest: 'vit_b_16'"),
        (["tim:resnet18"], "no model library 'tim'; nearest: 'timm'"),
        (["resnet18", "--diff", "resnet19"], "no model 'resnet19'; nearest: 'resnet18'"),
        (
            ["vit", "--image", "225"],
            "vit at 225: patch 16 does not divide the image; allowed: 1, 3, 5, 9, 15,",
        ),
        (["vit", "--image", "-1"], "--image: '-1' is no positive number"),
        (["vit", "--by", "modul"], "no --by 'modul'; nearest: 'module'"),
        (["vit", "--convention", "mac"], "no --convention 'mac'; nearest: 'macs'"),
        (["swim_*"], "no model matches 'swim_*'; such as 'swin_*' or 'torchvision:vit_*'"),
        (["tim:swin_*"], "no model matches 'tim:swin_*'; such as"),
        ([], "MODEL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_one_line_and_nothing_is_counted(said, words, line):
    code, lines, errors = said(*words)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert line in errors[0]


def test_a_model_that_cannot_be_counted_fails_with_its_reason_and_does_not_hide_the_others(said):
    code, lines, errors = said("resnet18.no_such_tag", "resnet18", "--json")
    reason = "timm:resnet18.no_such_tag at 224: Invalid pretrained tag (no_such_tag) for resnet18."
    failed = {"image": 224, "convention": "macs", "state": "failed", "reason": reason}
    assert json.loads(lines[0]) == {"model": "timm:resnet18.no_such_tag", **failed}
    assert json.loads(lines[1])["flops"] == 1_814_073_344
    assert (code, errors) == (1, [reason])
    code, lines, _ = said("resnet18.no_such_tag", "resnet18")
    assert (code, _cells(lines[2])[2:]) == (1, ["failed", "failed"])


def test_a_border_that_timm_cuts_off_is_noted(said):
    code, lines, errors = said("vit_tiny_patch16_224", "--image", "230", "--json")
    assert (code, len(lines)) == (0, 1)
    assert errors == [
        "timm:vit_tiny_patch16_224: patch 16 does not divide the image of 230: timm cuts its border off, or pads it"
    ]


def test_any_module_is_counted_from_python_in_evaluation_mode_and_its_mode_is_put_back():
    model = _small().train()
    model[2].eval()
    counts = vitab.count(model, IMAGES)
    assert (counts.total, counts.params) == (2 * (4 * 8 * 3 * 16 + 32 * 5), 392 + 165)
    assert counts.by_module()["3"] == 2 * 32 * 5
    assert [part.training for part in model] == [True, True, False, True]
    assert vitab.count(nn.MultiheadAttention(8, 2), (torch.zeros(5, 1, 8),) * 3).total == 4 * 5 * 64 + 2 * 25 * 8


def test_a_module_that_holds_an_unknown_operator_raises_its_name():
    with pytest.raises(Invalid, match=r"^cannot count aten::_trilinear in the model itself: no rule"):
        vitab.count(nn.Bilinear(3, 3, 2), (torch.zeros(1, 3),) * 2)


@torch.library.custom_op("counted_by_a_rule::attention", mutates_args=())
def _kernel(x: torch.Tensor) -> torch.Tensor:
    """Stands in for a kernel launched by hand."""
    return (x @ x.mT).softmax(-1) @ x


@_kernel.register_fake
def _shape(x):
    return torch.empty_like(x)


class _Attention(nn.Module):
    def forward(self, x):
        return _kernel(x)


def test_an_operator_of_ones_own_is_named_and_counts_by_a_rule_of_ones_own():
    model, x = nn.Sequential(nn.Linear(5, 5), _Attention()), torch.zeros(2, 7, 5)
    with pytest.raises(
        Invalid, match=r"^cannot count counted_by_a_rule::attention in 1: no rule says what that costs$"
    ):
        vitab.count(model, x)
    rules = {"counted_by_a_rule::attention": lambda args, result: 2 * result.numel() * args[0].shape[1]}
    counts = vitab.count(model, x, rules=rules)
    assert counts.by_module() == {"": 2 * 7 * 25 + 2 * 2 * 7 * 7 * 5, "0": 2 * 7 * 25, "1": 2 * 2 * 7 * 7 * 5}
    vitab.assert_counts(model, x, flops=2 * 7 * 25 + 2 * 2 * 7 * 7 * 5, rules=rules)


@pytest.mark.parametrize(
    "expected",
    [
        {"params": 557, "flops": 3_392},
        {"params": "557", "flops": "3.4k"},
        {"params": "0.6k"},
        {"flops": "3.39e3"},
        {"flops": "3.1k/3.4k"},
    ],
)
def test_counts_that_print_as_given_pass(expected):
    vitab.assert_counts(_small(), IMAGES if "flops" in expected else None, **expected)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"params": 558}, "557 parameters, expected 558"),
        ({"flops": "3.5k"}, "3,392 multiply-adds, expected 3.5k (3,450 to 3,550)"),
        (
            {"params": "0.5k", "flops": 3_391},
            "557 parameters, expected 0.5k (450 to 550); 3,392 multiply-adds, expected 3,391",
        ),
    ],
)
def test_counts_that_do_not_are_an_assertion_error_that_says_both_numbers(expected, message):
    with pytest.raises(AssertionError) as raised:
        vitab.assert_counts(_small(), IMAGES, **expected)
    assert str(raised.value) == message


def test_an_assertion_over_nothing_is_refused():
    with pytest.raises(UserError, match="compares nothing: give params, flops or both"):
        vitab.assert_counts(_small(), IMAGES)
    with pytest.raises(UserError, match="needs an input"):
        vitab.assert_counts(_small(), flops="3.4k")
    for nothing in ("–", "many", "4.5GB", "29 s"):
        with pytest.raises(UserError, match="is no "):
            vitab.assert_counts(_small(), IMAGES, flops=nothing)


def test_the_counts_of_a_published_model_are_asserted_as_its_paper_prints_them():
    import timm

    with torch.device("meta"):
        model, image = timm.create_model("swin_tiny_patch4_window7_224"), torch.empty(1, 3, 224, 224)
    vitab.assert_counts(model, image, params="28M", flops="4.5G")
    with pytest.raises(AssertionError, match=r"28,288,354 parameters, expected 29M \(28,500,000 to 29,500,000\)"):
        vitab.assert_counts(model, image, params="29M")


def test_parts_that_are_alike_are_folded_by_their_numbers_and_no_others():
    small, large = Part(params=2, flops=3), Part(params=4, flops=3)
    named = {"": large, "a.0": small, "a.1": small, "a.2": large, "a.4": large, "b.0": small}
    assert folded(named) == {
        "": (1, large),
        "a.0–1": (2, Part(params=4, flops=6)),
        "a.2,4": (2, Part(params=8, flops=6)),
        "b.0": (1, small),
    }
