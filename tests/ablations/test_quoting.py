import pytest

from ablations.grid import build
from ablations.quoting import quoted
from ablations.study import load
from bench.errors import UserError


def test_a_cell_is_the_number_that_it_prints_in_base_units():
    assert quoted("swin_imagenet/a_deits/top1") == 79.8
    assert quoted("swin_imagenet/a_deits/params") == 22e6
    assert quoted("vit_sota_v1/tpu_days/vit_l16") == 680
    assert quoted("vit_sota_v1/imagenet/vit_l16") == 87.61  # 87.61 ± 0.03


def test_of_a_cell_with_several_claims_the_papers_own_counts():
    assert quoted("swin_imagenet/a_swint/params") == 29e6  # 28M in its repository


def test_a_pattern_of_rows_stands_for_all_that_print_a_number():
    assert quoted("swin_imagenet/a_regnety*/top1") == (80.0, 81.7, 82.9)
    assert quoted("swin_imagenet/b_r*/top1") == (84.4, 85.4)
    with pytest.raises(UserError, match=r"no row of swin_imagenet that matches 'b_\[r\]\*' reports a number there"):
        quoted("swin_imagenet/b_[r]*/throughput")  # both print a dash


def test_a_claim_of_a_design_is_found_by_its_rows_id():
    assert quoted("augreg_heatmap/R+Ti/16:noreg:none/top1") == 69


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("swin_imagenet/a_deits", "'swin_imagenet/a_deits' is no cell: TABLE/ROW/COLUMN"),
        ("swin_imagnet/a_deits/top1", "no table 'swin_imagnet'; nearest: 'swin_imagenet'"),
        ("swin_imagenet/a_deit/top1", "no row of swin_imagenet with a reported top1 'a_deit'; nearest: 'a_deits'"),
        ("swin_imagenet/a_deits/top5", "with reported numbers 'top5'; nearest: 'top1'"),
        ("swin_imagenet/b_r101x3/throughput", "no row of swin_imagenet with a reported throughput 'b_r101x3'"),
        ("vit_sota_v1/imagenet/noisy_student", "prints '88.4/88.5*', which is not one number"),
    ],
)
def test_what_no_table_prints_is_one_line(name, said):
    with pytest.raises(UserError) as caught:
        quoted(name)
    assert said in str(caught.value)


SPEC = """
study: gains
base: {{task: classify, model: formula}}
columns: [value]
design:
  rows:
    - {{id: gain, model.expression: swin - deit, model.numbers: {{swin: {cell}, deit: 79.8}}}}
"""


def _grid(tmp_path, cell):
    spec = tmp_path / "gains.yaml"
    spec.write_text(SPEC.format(cell=cell), encoding="utf-8")
    return build(load(str(spec)))


def test_a_trial_holds_the_numbers_that_it_quotes_and_where_they_stand(tmp_path):
    (work,) = _grid(tmp_path, "swin_imagenet/a_swint/top1").rows[0].cells["value"].works
    assert work.trial.model.knobs == {
        "expression": "swin - deit",
        "numbers": {"swin": 81.3, "deit": 79.8},
        "models": {},
        "quoted": {"swin": "swin_imagenet/a_swint/top1"},
    }


def test_a_cell_that_is_not_there_is_an_error_at_its_line(tmp_path):
    with pytest.raises(UserError, match=r"gains.yaml:7:\d+: no row of swin_imagenet .* 'a_swin_t'; nearest: 'a_swint'"):
        _grid(tmp_path, "swin_imagenet/a_swin_t/top1")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("model.expression: 1 +", "'1 +' is no expression"),
        ("model.expression: a, model.numbers: {a: [1, x]}", "'x' is no cell: TABLE/ROW/COLUMN"),
        ("model.expression: a, model.numbers: {a: {b: 1}}", "model.numbers must be a number or a list, not a mapping"),
        ("model.expression: a, model.numbers: 3", "model.numbers must be a mapping of names, not 3"),
        ("model.expression: params(m), model.models: {m: vitt}", "m: no model 'vitt'; nearest: 'vit'"),
        ("model.expression: params(m), model.models: {m: {name: vit, pach: 5}}", "m: no key 'pach'; nearest: 'patch'"),
        ("model.expression: params(m), model.models: {m: [1]}", "model.models.m must be a model's name"),
        (
            "model.expression: params(m), model.models: {m: {name: formula, expression: 1 + 1}}",
            "m: formula eats no images",
        ),
        ("model: vit", "value is of formula alone, not of vit"),
    ],
)
def test_a_mistake_in_a_formula_is_one_line_at_its_place(tmp_path, row, said):
    spec = tmp_path / "mistaken.yaml"
    spec.write_text(
        f"study: mistaken\nbase: {{model: {{name: formula, expression: '1'}}}}\ncolumns: [value]\n"
        f"design:\n  rows:\n    - {{id: a, {row}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"mistaken\.yaml:6:\d+: ") as caught:
        build(load(str(spec)))
    assert said in str(caught.value)
