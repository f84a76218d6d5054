"""From a YAML file to records, to a table, to verdicts; and that what is measured is not measured again."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter

import pytest

from bench.store import Store


def _vit_params(patch, dim=16, image=8, classes=10):
    """Parameters of the study's ViT, from its definition: one channel, one block, an MLP four times as wide."""
    tokens = (image // patch) ** 2 + 1
    embedding = patch**2 * dim + dim + dim + tokens * dim  # patches with bias, class token, positions
    block = 2 * 2 * dim + (3 * dim**2 + 3 * dim) + (dim**2 + dim) + (4 * dim**2 + 4 * dim) + (4 * dim**2 + dim)
    return embedding + block + 2 * dim + dim * classes + classes


def _vit_multiply_adds(patch, dim=16, image=8, classes=10):
    """Multiply-adds of one forward pass over one image: patches, the block's products, the head."""
    patches = (image // patch) ** 2
    tokens = patches + 1
    block = tokens * (4 * dim**2 + 8 * dim**2) + 2 * tokens**2 * dim
    return patches * patch**2 * dim + block + dim * classes


def _starts(store):
    return Counter((start.measure, start.key) for start in store.read().starts)


def test_a_yaml_file_becomes_records_and_a_table(measured_once):
    folder, answer = measured_once
    assert answer.code == 0
    lines = answer.err.splitlines()
    assert lines[:2] == [
        "small · 2 rows × 2 seeds on digits · 4 trainings · 8 measurements · 12 to do",
        "4 to train, 8 to measure · 2 workers",
    ]
    assert lines[-1].startswith("12 done, 0 failed in 00:")
    assert answer.out.startswith("small · Which patch for digits?\n\n| patch |")
    snapshot = Store(folder / "runs").read()
    assert snapshot.problems == ()
    measures = Counter(record.measure for record in snapshot.records.values())
    assert measures == {"train": 4, "params": 2, "flops": 2, "top1": 4}
    assert len(snapshot.starts) == 12
    assert all(record.environment["host"] and record.failure is None for record in snapshot.records.values())


def test_the_table_has_what_the_definition_of_the_model_says(finished, call):
    table = call("table", "small.yaml", "--as", "json").json
    assert [column["name"] for column in table["columns"]] == ["params", "flops", "top1"]
    assert [row["row"] for row in table["rows"]] == ["2", "4"]
    assert table["base"] == "2"
    for row in table["rows"]:
        cells, patch = row["cells"], int(row["row"])
        assert {name: cell["state"] for name, cell in cells.items()} == dict.fromkeys(cells, "measured")
        assert cells["params"]["value"] == _vit_params(patch)
        assert cells["flops"]["value"] == _vit_multiply_adds(patch)
        assert (cells["top1"]["n"], cells["top1"]["unit"]) == (2, "%")
        in_images = [445 * sample / 100 for sample in cells["top1"]["samples"]]  # of the report split
        assert in_images == pytest.approx([round(images) for images in in_images])


def test_the_check_compares_what_was_reported(finished, call):
    said = call("check", "small.yaml")
    assert said.code == 1
    *sentences, tally = said.out.splitlines()
    assert tally == "compared 3 of 3 claims · 1 reproduced · 2 deviates"
    assert sentences[1] == "small 4 params: 3.9k against 5k (Patches, Table 1): deviates, −14.4 % · gate"
    assert call("check", "small.yaml", "--gate", "failed").code == 0
    assert call("check", "small.yaml", "--gate", "failed", "--require", "4").code == 1
    assert call("check", "small.yaml", "--columns", "flops").err.startswith("nothing was compared: small reports no")


def test_a_store_agrees_with_itself_and_not_with_one_that_changed(finished, call, here):
    shutil.copytree("runs", "then")
    assert call("check", "small.yaml", "--against", "then", "--gate", "changed,failed").code == 0
    for path in (here / "then" / "records").iterdir():
        path.write_text(path.read_text().replace("[3850.0]", "[3851.0]"))
    said = call("check", "small.yaml", "--against", "then", "--gate", "changed,failed")
    assert said.code == 1
    assert said.out.splitlines()[-1].endswith(" · 4 reproduced · 2 changed")


@pytest.mark.parametrize("moved", [False, True])
def test_a_second_run_measures_nothing_and_answers_in_two_seconds(finished, command, here, moved):
    store = finished
    if moved:
        shutil.copytree("runs", here / "elsewhere" / "store")
        shutil.rmtree("runs")
        store = Store(here / "elsewhere" / "store")
    before, first = _starts(store), here.parent / "nothing cached"
    first.mkdir()
    environment = {**os.environ, "HOME": str(first), "XDG_CACHE_HOME": str(first)}
    began = time.monotonic()
    again = command("run", "small.yaml", "--store", store.path, env=environment)
    took_s = time.monotonic() - began
    assert (again.code, again.err) == (
        0,
        "small · 2 rows × 2 seeds on digits · 4 trainings · 8 measurements · nothing missing\n",
    )
    assert _starts(store) == before
    assert max(before.values()) == 1
    assert took_s < 4  # twice what is promised, for a machine that does other things too
    assert list(first.iterdir()) == []


def test_a_finished_study_needs_no_torch_to_be_shown_again(finished, here):
    script = (
        "import sys; from vitab.__main__ import main; main(['run', 'small.yaml']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, check=False).returncode == 0


def test_another_seed_costs_one_training_a_row(finished, call):
    said = call("plan", "small.yaml", "--seeds", "3")
    lines = [line.strip() for line in said.out.splitlines()]
    assert lines[0] == "small · 2 rows × 3 seeds on digits · 6 trainings · 10 measurements"
    assert "in the store 12 (train 4, flops 2, params 2, top1 4)" in lines
    (to_run,) = [line for line in lines if line.startswith("to run")]
    assert to_run.startswith("to run       4 (train 2, top1 2) · about ")
    assert lines[-1] == "to train     2, 4"


def test_changing_what_a_count_does_not_depend_on_counts_nothing_again(finished, call):
    said = call("plan", "small.yaml", "--set", "train.lr=0.1", "--json").json
    (study,) = said["studies"]
    states = Counter((work["measure"], work["state"]) for work in study["work"])
    assert states == {
        ("params", "done"): 2,
        ("flops", "done"): 2,
        ("top1", "pending"): 4,
        ("train", "pending"): 4,
    }


def test_read_only_commands_change_nothing(finished, call):
    def everything():
        return {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}

    before = everything()
    for words in (
        ["plan", "small.yaml"],
        ["status"],
        ["table", "small.yaml"],
        ["check", "small.yaml"],
        ["why", "small.yaml", "4", "top1"],
        ["doctor"],
    ):
        assert call(*words).code in (0, 1)
    assert everything() == before
    assert call("table", "small.yaml", "--store", "nowhere").code == 0
    assert not (finished.path.parent / "nowhere").exists()


def test_tables_are_written_whole_and_in_every_form(finished, call, here):
    for form, begin in {"markdown": "small · Which", "latex": "% ", "csv": "row,", "json": "{", "html": "<"}.items():
        assert call("table", "small.yaml", "--as", form, "--out", f"out/table.{form}").code == 0
        assert (here / "out" / f"table.{form}").read_text().startswith(begin)
        assert (here / "out" / f"table.{form}").read_text() == call("table", "small.yaml", "--as", form).out


def test_a_table_of_what_nobody_ran_says_what_was_run(finished, call):
    said = call("table", "small.yaml", "--columns", "top1", "--set", "train.lr=0.1")
    assert said.err == "nothing of this is measured; small was run as its spec says\n"
    assert call("table", "small.yaml", "--set", "train.lr=0.1").err == ""  # its counts are
    assert call("table", "small.yaml", "--columns", "top1", "--store", "nowhere").err == ""


def test_a_finished_study_is_shown_from_a_store_that_cannot_be_written_and_an_unfinished_one_is_refused(
    finished, here, call
):
    shutil.rmtree(here / "runs" / "studies")
    (here / "runs" / "studies").write_text("no folder can be made here")
    said = call("run", "small.yaml")
    assert said.code == 0
    assert said.out == call("table", "small.yaml").out
    more = call("run", "small.yaml", "--seeds", "3")
    assert more.code == 2
    assert more.err == f"store {str(here / 'runs')!r} cannot be written: not a directory\n"
