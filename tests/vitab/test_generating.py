"""`vitab generate`: a folder of scenes that appears whole, or one line and nothing."""

import pytest


@pytest.mark.parametrize(
    ("layout", "what", "file"),
    [
        ("coco", "annotations", "annotations/instances_val2017.json"),
        ("ade20k", "4 label maps", "annotations/validation/ADE_val_00000004.png"),
        ("cityscapes", "4 label maps", "gtFine/val/scenes/scenes_000004_000019_gtFine_labelIds.png"),
    ],
)
def test_it_writes_a_layout_and_says_how_many_and_how_fast(here, call, layout, what, file):
    said = call("generate", layout, "below/scenes", "--images", "4", "--side", "40")
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("4 images and ")
    assert f"{what} in below/scenes, " in said.err
    assert said.err.endswith(" images/s\n")
    assert (here / "below/scenes" / file).is_file()
    assert [path.name for path in (here / "below").iterdir()] == ["scenes"]


def test_the_seed_decides(here, call):
    for seed, name in ((0, "a"), (0, "b"), (5, "c")):
        call("generate", "ade20k", name, "--images", "4", "--side", "40", "--seed", seed)
    a, b, c = ((here / name / "annotations/training/ADE_train_00000001.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("coco", "full"), "'full' is not empty; name a folder that is empty or not there\n"),
        (("coco", "full/mine"), "'full/mine' is a file; name a folder that is empty or not there\n"),
        (("cocoo", "new"), "vitab generate: no layout 'cocoo'; nearest: 'coco'\n"),
        (("coco", "new", "--images", "2"), "images 2: at least 4, of which every 4th is for validation\n"),
        (("coco", "new", "--side", "8"), "side 8: from 32 to 4096 pixels\n"),
        (("coco", "new", "--side", "big"), "vitab generate: --side: 'big' is no positive number\n"),
        (("coco", "new", "--sed", "1"), "vitab generate: no option '--sed'; nearest: '--seed'\n"),
        (("coco", "full/mine/new"), "full/mine: "),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line_and_nothing_is_written(here, call, words, said):
    (here / "full").mkdir()
    (here / "full" / "mine").write_text("kept")
    answer = call("generate", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(said)
    assert answer.err.count("\n") == 1
    assert sorted(path.name for path in here.rglob("*")) == ["full", "mine"]
