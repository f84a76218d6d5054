import msgspec
import pytest

from bench import data, weights
from bench.batches import feed
from bench.errors import Invalid, Needs
from bench.identity import weights_key
from bench.train import first_look
from bench.trial import Input


@pytest.fixture
def shades(digits_trial, image_folder):
    """A trial on files in colour, and the folder that they lie in."""
    root = image_folder()
    options = {"set": "shades", "classes": 3, "root": str(root), "selection": 0.25}
    found = data.resolve("imagefolder", options)
    return digits_trial(data=found, input=Input(image=8, classes=3), train={"batch": 6, "epochs": 2}), root


def _refused(trained, trial, tmp_path, kind=Invalid):
    """What is said, once it is sure that nothing was trained."""
    with pytest.raises(kind) as raised:
        trained(trial)
    folder = tmp_path / "store" / "weights" / weights_key(trial)
    assert not {"checkpoint.pt", "curve.jsonl", weights.DONE} & {path.name for path in folder.iterdir()}
    return str(raised.value)


@pytest.mark.parametrize(("half", "stranger"), [("train", "grey"), ("val", "gray")])
def test_a_folder_of_a_class_that_is_missing_is_named(shades, trained, tmp_path, half, stranger):
    trial, root = shades
    (root / half / "grey").rename(root / half / "gray")
    said = f"shades with the same classes in both halves; {root}/train has no {stranger!r}"
    assert _refused(trained, trial, tmp_path, Needs) == said


def test_a_class_that_is_never_evaluated_is_named(shades, trained, tmp_path):
    trial, root = shades
    (root / "val" / "grey").rename(root / "grey")
    said = f"shades with the same classes in both halves; {root}/val has no 'grey'"
    assert _refused(trained, trial, tmp_path, Needs) == said


def test_a_class_folder_too_few_is_counted(shades, trained, tmp_path):
    trial, root = shades
    for half in ("train", "val"):
        (root / half / "grey").rename(root / f"{half}-grey")
    assert _refused(trained, trial, tmp_path, Needs) == f"shades with 3 classes; {root}/train has 2"


def test_a_file_that_is_no_image_is_named(shades, trained, tmp_path):
    trial, _ = shades
    shown = data.load(trial.data, "train").files
    shown[-1].write_bytes(shown[-1].read_bytes()[:60])
    assert _refused(trained, trial, tmp_path) == f"{str(shown[-1])!r} cannot be decoded as an image"


def test_a_label_out_of_range_is_said(shades, trained, tmp_path):
    trial, _ = shades
    fewer = msgspec.structs.replace(trial, input=Input(image=8, classes=2))
    said = _refused(trained, fewer, tmp_path)
    assert said == "label 2 of a training image is out of range for 2 classes"


def test_a_batch_larger_than_the_images_is_said(shades, trained, tmp_path):
    trial, _ = shades
    large = msgspec.structs.replace(trial, train=msgspec.structs.replace(trial.train, batch=64))
    assert _refused(trained, large, tmp_path) == "batch 64 is larger than the 18 training images"


def test_of_very_many_files_some_are_looked_at_from_the_first_to_the_last():
    class Many:
        asked = []

        def tensor(self, **how):
            return None

        @property
        def labels(self):
            import torch

            return torch.zeros(1_000_000, dtype=torch.int64)

        def image(self, index, **how):
            self.asked.append(index)

    first_look.decode(feed(Many(), device="cpu", size=8, crop=1.0, interpolation="bilinear"))
    assert len(Many.asked) == 2_000
    assert Many.asked[0] == 0
    assert Many.asked[-1] >= 999_000
