"""Whatever is wrong with a spec is said in one line: where, what, and what is allowed or what was probably meant."""

from pathlib import Path

import pytest

FROZEN = Path(__file__).parents[1] / "data" / "bad_specs.txt"


def mistakes():
    """Section, mistake and what is said of it, as the frozen file has them."""
    section = ""
    lines = [line for line in FROZEN.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("=="):
            section = line
        elif not line.startswith(" "):
            yield section, line, after.strip()


@pytest.mark.parametrize(("section", "wrong", "said"), list(mistakes()))
def test_a_mistake_in_a_spec_is_one_line_that_says_where(refused, section, wrong, said):
    if section.startswith("== a row"):
        message = refused(f"design:\n  rows:\n  - {wrong}\n  - {{id: z, model.depth: 9}}\n")
    elif section.startswith("== the columns"):
        message = refused(columns=wrong)
    else:
        message = refused(wrong)
    assert message == f"s.yaml:{said}"


def test_every_kind_of_mistake_is_frozen_once():
    frozen = list(mistakes())
    assert len(frozen) == len({(section, wrong) for section, wrong, _ in frozen}) >= 60
    assert all(said[0].isdigit() for _, _, said in frozen)


BASES = {  # a base instead of the good one → what is said
    "": "1:1: the trial names no model: `model: NAME` or `model: {name: NAME, …}`",
    "base: {}": "2:1: the trial names no model: `model: NAME` or `model: {name: NAME, …}`",
    "base: {model: {patch: 4}}": "2:16: the trial names no model: `model: NAME` or `model: {name: NAME, …}`",
    "base: vit": "2:1: base must be a mapping, not 'vit'",
    "base: {modl: vit}": "2:8: no field 'modl'; nearest: 'model'",
    "base: {lr: 0.1, model: vit}": "2:8: no field 'lr'; nearest: 'train.lr'",
    "base: {zzz: 1, model: vit}": "2:8: no field 'zzz'; allowed: attention, command, data, distill, evaluate, "
    "execution, input, model, precision, predictions, task, train, … (13 in all)",
    "base: {model: vit, train: {recipe: tiny}}": "2:1: row 'base': a training needs data: `data: NAME`",
    "base: {model: vit, data: digits, train: {recipe: tiny, random_crop: [a, 1]}}": "2:56: train.random_crop must be a "
    "number above 0 and of at most 1, not 'a'",
    "base: {model: vit, data: digits, train: {recipe: tiny, random_crop: [1]}}": "2:56: train.random_crop must be a "
    "list of 2 or null, not of 1",
    "base: {model: vit, data: digits, train: {epochs: 3}}": "2:42: train lacks batch, optimizer, lr, min_lr, "
    "weight_decay, warmup_epochs, smoothing, clip_grad, dropout, drop_path, augment; name a recipe: augreg, deit, "
    "dense, mixer, swin, tiny",
}


@pytest.mark.parametrize("base", BASES)
def test_a_base_that_is_no_trial_is_one_line(refused, base):
    assert refused(base=f"study: s\n{base}\n") == f"s.yaml:{BASES[base]}"


CALLS = {  # a change for one call → what is said
    "model.dim": "--set model.dim: must be FIELD=VALUE, such as --set train.epochs=5",
    "=3": "--set =3: must be FIELD=VALUE, such as --set train.epochs=5",
    "model.dm=3": "--set model.dm=3: no field 'model.dm'; nearest: 'model.dim'",
    "seeds=3": "--set seeds=3: no field 'seeds'; a study's `seeds:` stand beside its base",
    "model=rsnet18": "--set model=rsnet18: no model 'rsnet18'; nearest: 'resnet18'",
    "model=[vit]": "--set model=[vit]: model must be a name or a mapping, not a list",
    "model.dim=[1": "--set model.dim=[1: YAML: a ',' or a closing bracket is missing here",
    "model.dim=*a": "--set model.dim=*a: an alias *a is not allowed in a spec; write it again",
    "model.dim=010": "--set model.dim=010: 010 starts with a zero; write 10, or quote it",
    "model.dim=.inf": "--set model.dim=.inf: .inf is no value of a spec; numbers must be finite",
    "model.dim='8'": "--set model.dim='8': model.dim must be a whole number from 1 to 65536, not '8'",
    "model.dim=8\n9": "--set model.dim=8 9: model.dim must be a whole number from 1 to 65536, not '8 9'",
    "model.pos_embed=null": "--set model.pos_embed=null: model.pos_embed must be learned or learned2d or none or "
    "relative or rope or sincos1d or sincos2d, not null",
    "model.patch=4": "--set model.patch=4: the design varies model.patch (factor model.patch)",
    "train.from={row: base}": "--set train.from={row: base}: rows need each other's weights: base → base",
    "model=": "--set model=: the trial names no model: `model: NAME` or `model: {name: NAME, …}`",
}


@pytest.mark.parametrize("change", CALLS)
def test_a_change_for_one_call_that_is_wrong_is_one_line(refused, change):
    assert refused("design: {one_factor: {model.patch: [1, 4]}}", sets=[change]) == CALLS[change]


def test_a_field_that_is_set_twice_is_one_line(refused):
    assert refused(sets=["model.dim=8", "model={dim: 16}"]) == "--set model={dim: 16}: model.dim is set twice"


def test_a_setting_or_seeds_that_there_are_not_are_one_line(refused):
    assert refused(setting="big") == "study 's' has no settings, and so no 'big'"
    assert refused("settings: {large: {}}", setting="lage") == "no setting of s 'lage'; nearest: 'large'"
    assert refused(seeds=0) == "seeds must be a whole number from 1 to 1000 or a list, not 0"
    assert refused(seeds=[1, -1]) == "seeds[1] must be a whole number from 0 to 4294967295, not -1"
    assert refused(seeds=[2, 2]) == "seed 2 stands twice"


def test_specs_that_extend_each_other_are_one_line(refused, tmp_path):
    (tmp_path / "other.yaml").write_text("study: other\nextends: s.yaml\n")
    assert refused("extends: other.yaml") == "other.yaml:2:1: extends itself: s.yaml → other.yaml → s.yaml"
    for number in range(9):
        (tmp_path / f"{number}.yaml").write_text(f"study: s\nextends: {number + 1}.yaml\n")
    assert refused("extends: 0.yaml") == "6.yaml:2:1: more than 8 specs extend each other"


def test_claims_that_no_cell_shows_are_one_line(refused):
    grid = "design: {factorial: {model.patch: [1, 4], train.lr: [0.1]}}\nlayout: {columns: train.lr}\n"
    assert refused(f"reported: {{top1: {{4: 90}}}}\n{grid}") == "s.yaml:7:19: no row '4'; allowed: 1:0.1, 4:0.1"
    assert refused("reported: {top: {base: 90}}") == "s.yaml:7:12: no column 'top'; nearest: 'top1'"
    rows = "design: {rows: [{id: a, reported: {top1: 91}}]}"
    assert (
        refused(f"reported: {{top1: {{a: 90}}}}\n{rows}") == "s.yaml:7:19: top1 of a is reported twice, first in line 8"
    )
