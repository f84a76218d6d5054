"""What a record was made of is changed afterwards: the number is measured again, and no old one is shown for it."""

import shutil

from bench import weights
from bench.store import Store

SPEC = """\
study: named
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: digits
  weights: ./w.safetensors
columns: [top1]
"""


def _cell(said):
    ((cell,),) = ([row["cells"]["top1"] for row in said.json["rows"]],)
    return cell["state"], cell.get("value")


def test_other_weights_under_the_same_name_give_their_own_number(finished, here, call):
    """Of two trainings of the same model, one after the other under one name."""
    (here / "named.yaml").write_text(SPEC)
    snapshot = finished.read()
    tops = [record for record in snapshot.records.values() if record.measure == "top1"]
    tops = [record for record in tops if record.trial.model.knobs["patch"] == 2]
    truths = []
    for record in tops:
        (made,) = [
            folder
            for folder in (here / "runs" / "weights").iterdir()
            if weights.done(folder).weights == record.bound["weights"]
        ]
        shutil.copy(made / weights.WEIGHTS, here / "w.safetensors")
        (truth,) = record.quantities["top1"].samples
        truths.append(truth)
        if len(truths) > 1:
            assert _cell(call("table", "named.yaml", "--store", "own", "--as", "json")) == ("pending", None)
        said = call("run", "named.yaml", "--store", "own", "--workers", "1", "--as", "json")
        assert _cell(said) == ("measured", truth)
    assert len(set(truths)) == 2
    again = call("run", "named.yaml", "--store", "own")
    assert again.err.endswith("· nothing missing\n")
    (attempts,) = [a for a in Store(here / "own").read().attempts.values() if a[0].measure == "top1"]
    assert [record.quantities["top1"].samples[0] for record in attempts] == truths


def test_weights_of_another_machine_in_the_place_of_ours_are_measured_and_our_number_is_gone(finished, here, call):
    """Two trainings of the same row change places."""
    cells = call("table", "small.yaml", "--as", "json").json["rows"]
    before = [row["cells"]["top1"]["value"] for row in cells]
    tops = [r for r in finished.read().records.values() if r.measure == "top1" and r.trial.model.knobs["patch"] == 2]
    folders = [finished.path / record.artifacts["predictions"] for record in tops]
    one, other = (path.parent for path in folders)
    for name in (weights.WEIGHTS, weights.DONE):
        (one / name).rename(here / "between")
        (other / name).rename(one / name)
        (here / "between").rename(other / name)
    after = call("table", "small.yaml", "--as", "json").json["rows"]
    assert [row["cells"]["top1"]["state"] for row in after] == ["pending", "measured"]
    said = call("run", "small.yaml", "--workers", "1", "--as", "json")
    assert said.err.startswith("small · 2 rows × 2 seeds on digits · 4 trainings · 8 measurements · 2 to do\n")
    assert [row["cells"]["top1"]["state"] for row in said.json["rows"]] == ["measured", "measured"]
    assert [row["cells"]["top1"]["value"] for row in said.json["rows"]] == before  # a mean does not mind the order
    again = {r.trial.seed: r.quantities for r in finished.read().records.values() if r.key in {t.key for t in tops}}
    assert again == {record.trial.seed: other.quantities for record, other in zip(tops, tops[::-1], strict=True)}
