"""A column that goes on from what each row has trained, and a row that has fields of its own in one column alone."""

import pytest

from ablations.grid import build
from ablations.study import load
from bench.errors import UserError

SPEC = """
study: chain
base:
  model: {name: vit, image: 8, patch: 2, dim: 24, depth: 1, heads: 2}
  data: digits
  train: {recipe: tiny}
columns:
  - top1
  - finetuned: {quantity: top1, model.image: 16, train: {from: {row: itself}, epochs: 5}}
design:
  rows:
    - {id: base}
    - {id: sgd, train.optimizer: sgd, within: {finetuned: {train.optimizer: adamw}}}
    - {id: late, within: {finetuned: {train.optimizer: sgd}}}
"""


def _grid(folder, text=SPEC):
    (folder / "chain.yaml").write_text(text)
    return build(load(str(folder / "chain.yaml")))


def test_each_row_is_fine_tuned_from_its_own_training(tmp_path):
    grid = _grid(tmp_path)
    cells = {row.id: {name: cell.works[0] for name, cell in row.cells.items()} for row in grid.rows}
    for of_row in cells.values():
        start = of_row["finetuned"].trial.train.start
        assert (start.kind, start.ref) == ("trial", of_row["top1"].weights_key)
        assert of_row["top1"].trial.train.start is None
    optimizers = {
        row: tuple(works[name].trial.train.optimizer for name in ("top1", "finetuned")) for row, works in cells.items()
    }
    assert optimizers == {"base": ("adamw", "adamw"), "sgd": ("sgd", "adamw"), "late": ("adamw", "sgd")}
    assert cells["late"]["top1"].key == cells["base"]["top1"].key
    assert len(grid.trainings) == 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("within: {finetuned: {train.optimizer: sgd}}", "train.from: {row: itself}", "late → late"),
        ("within: {finetuned: {train.optimizer: sgd}}", "", "row 'late' changes nothing"),
        ("within: {finetuned: {train.optimizer: sgd}}", "within: {finetune: {train.lr: 1}}", "finetuned"),
        ("within: {finetuned: {train.optimizer: sgd}}", "within: {finetuned: {train.lrr: 1}}", "train.lr"),
    ],
)
def test_a_row_that_starts_from_itself_or_names_what_is_not_there_is_refused(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said):
        _grid(tmp_path, SPEC.replace(old, new))
