"""What is not alike in a table is said under it: other protocols, other images, other versions, other devices."""

from reports.mixtures import environments, protocols
from reports.render import render

TWO = """
design: {one_factor: {model.pos_embed: [none, rope]}}
columns: [params, top1]
seeds: 3
"""
HERE = {
    "bound": {"data": "a" * 64, "images": 445},
    "environment": {"cpu": "Xeon", "gpus": ["H100"], "libraries": {"torch": "2.14.1"}},
}


def filled(laboratory, **other):
    """A laboratory with three seeds of three rows, one of which was measured elsewhere."""
    lab = laboratory(TWO)
    for row in ("learned", "none", "rope"):
        lab.measured(row, "top1", 91.0, 92.0, 93.0 if row != "rope" else None, **HERE)
    lab.measured("rope", "top1", None, None, 93.5, **{name: HERE[name] | other.get(name, {}) for name in HERE})
    return lab


def mixed(lab):
    return [note for note in lab.table().notes if " of 9)" in note]


def test_a_table_that_was_measured_in_one_place_has_no_such_note(laboratory):
    assert mixed(filled(laboratory)) == []


def test_one_seed_on_other_images_is_told(laboratory):
    lab = filled(laboratory, bound={"data": "b" * 64, "images": 100})
    assert mixed(lab) == [
        "top-1: evaluation images differ in content, aaaaaaaaaaaa (8 of 9), bbbbbbbbbbbb (row rope)",
        "top-1: evaluation images differ in number, 445 (8 of 9), 100 (row rope)",
    ]
    assert "evaluation images differ in number" in render(lab.table())


def test_one_seed_from_another_machine_is_told(laboratory):
    lab = filled(laboratory, environment={"gpus": ["V100"], "libraries": {"torch": "2.11.0"}})
    assert mixed(lab) == [
        "top-1: evaluation under several versions of torch, 2.14.1 (8 of 9), 2.11.0 (row rope)",
        "top-1: evaluation on several devices, H100 (8 of 9), V100 (row rope)",
    ]


def test_what_a_record_does_not_say_contradicts_nothing(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "top1", 91.0, 92.0, 93.0, **HERE)
    lab.measured("none", "top1", 91.0, 92.0, 93.0)
    assert mixed(lab) == []
    assert environments(lab.grid, {}, lab.store.read()) == ()


def test_trainings_on_several_devices_are_told_where_the_evaluations_agree(laboratory):
    lab = laboratory(TWO)
    for row in ("learned", "none"):
        lab.measured(row, "top1", 91.0, 92.0, 93.0, **HERE)
    for number, work in enumerate(lab.works("learned", "top1")):
        gpu = "H100" if number else "A100"
        lab.trained(work, environment={"gpus": [gpu], "libraries": {"torch": "2.14.1"}})
    (note,) = [note for note in lab.table().notes if "devices" in note]
    assert note == "top-1: training on several devices, H100 (2 of 3), A100 (row learned)"


def test_a_count_is_the_same_wherever_it_is_made(laboratory):
    lab = laboratory(TWO)
    lab.measured("learned", "params", 58_234, environment={"libraries": {"torch": "2.11.0"}, "cpu": "one"})
    lab.measured("none", "params", 57_322, environment={"libraries": {"torch": "2.14.1"}, "cpu": "another"})
    assert lab.table().notes == ()


def test_rows_of_other_data_sets_need_not_agree(laboratory):
    lab = laboratory("design: {one_factor: {data.subset: [0.5]}}\ncolumns: [top1]\n")
    first, second = (row.row for row in lab.table().rows)
    lab.measured(first, "top1", 91.0, bound={"data": "a" * 64})
    lab.measured(second, "top1", 91.0, bound={"data": "a" * 64})
    assert lab.table().notes == ()


def notes(lab):
    return {row.row: row.notes for row in lab.table().rows}


def test_a_row_of_the_selection_split_is_told_from_the_others(laboratory):
    lab = laboratory("design: {one_factor: {evaluate.split: [selection]}}\ncolumns: [params, top1]\n")
    assert notes(lab) == {
        "report": (),
        "selection": ("evaluated on the selection split, the base row on held-out images",),
    }


def test_without_a_base_row_the_odd_one_is_told(laboratory):
    rows = "{id: a, evaluate.crop: 0.875}, {id: b, model.depth: 1, evaluate.crop: 0.875}, {id: c, evaluate.crop: 0.9}"
    lab = laboratory(f"design: {{rows: [{rows}]}}\ncolumns: [top1]\n")
    assert lab.grid.base is None
    assert notes(lab) == {"a": (), "b": (), "c": ("evaluated with crop 0.9, most rows with crop 0.875",)}


def test_models_of_several_sizes_each_at_its_own_are_evaluated_alike(laboratory):
    lab = laboratory("design: {one_factor: {model.image: [16, 24]}}\ncolumns: [top1]\n")
    assert protocols(lab.grid) == {}


def test_a_column_that_sets_the_protocol_of_all_rows_sets_no_row_apart(laboratory):
    columns = "[top1, {chosen: {quantity: top1, evaluate.split: selection}}]"
    lab = laboratory(f"design: {{one_factor: {{model.pos_embed: [none]}}}}\ncolumns: {columns}\n")
    assert protocols(lab.grid) == {}
    assert [column.label for column in lab.table().columns] == ["top-1", "chosen"]
