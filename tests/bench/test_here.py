import hashlib
import json
import subprocess
import sys

import msgspec
import pytest
from PIL import Image

from bench import data, here, plan, weights
from bench.attempt import Watch, attempt
from bench.identity import record_key, weights_key
from bench.measures import top1
from bench.record import Failure, Quantity, Record
from bench.segmentation import scoring
from bench.store import Store, now
from bench.trial import Distill, Evaluate, Input, Model, Predictions, Source, Trial
from bench.work import Work

WATCH = Watch(stop=lambda: False, still_mine=lambda: True, progress=lambda said: None)
LATER = "2999-01-01"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vitab" / "digests"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def root(image_folder):
    """A folder of images: 3 classes, 8 to train and 3 to report on each."""
    return image_folder(val=3)


@pytest.fixture
def shades(root, digits_trial):
    """A training on images in a folder."""
    chosen = data.resolve("imagefolder", {"set": "shades", "classes": 3, "root": str(root), "image": 8})
    return digits_trial(data=chosen, input=Input(image=8, channels=3, classes=3), train={"batch": 8})


def _untrained(trial, kind, ref):
    """The trial that measures other weights."""
    return msgspec.structs.replace(trial, train=None, seed=None, weights=Source(kind=kind, ref=str(ref)))


def _work(trial):
    key = record_key("top1", top1.VERSION, top1.DEPENDS_ON, trial)
    return Work(key=key, measure="top1", version=top1.VERSION, trial=trial, weights_key=weights_key(trial))


def _record(store, work, *, attempt="a", time=None, **bound):
    record = Record(
        key=work.key,
        measure="top1",
        version=1,
        attempt=attempt,
        time=time or now(),
        seconds=1.0,
        trial=work.trial,
        quantities={"top1": Quantity(samples=(90.0,), unit="%", better="higher")},
        bound=bound,
    )
    store.append(record)


def _standing(store, work):
    """Attempts of a work whose records answer here and now."""
    return [record.attempt for record in plan.standing(work, store.read())]


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _swap(one, other):
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def test_a_record_of_a_file_that_now_holds_other_weights_answers_nothing(store, digits_trial, tmp_path):
    path = tmp_path / "w.safetensors"
    work = _work(_untrained(digits_trial(), "file", path))
    _record(store, work, weights=_sha256(b"first"))
    assert _standing(store, work) == ["a"]  # there is no such file here: nothing is known
    path.write_bytes(b"first")
    assert _standing(store, work) == ["a"]
    path.write_bytes(b"other")
    assert _standing(store, work) == []
    assert plan.serving(work, store.read()) is None
    (again,) = plan.missing([work], store.read(), weights_ready=store.weights_ready)
    assert again.replaces == ("a",)
    _record(store, work, attempt="b", weights=_sha256(b"other"))
    assert _standing(store, work) == ["b"]
    path.write_bytes(b"first")
    assert _standing(store, work) == ["a"]


def test_a_record_of_weights_that_another_machine_trained_answers_nothing(store, digits_trial, complete):
    trial = digits_trial()
    folder = store.weights_folder(weights_key(trial))
    for work in (_work(trial), _work(_untrained(digits_trial(image=16), "trial", folder.name))):
        ours = complete(folder).weights
        _record(store, work, weights=ours)
        assert _standing(store, work) == ["a"]
        theirs = complete(folder, written=b"theirs").weights
        assert _standing(store, work) == []
        _record(store, work, attempt="b", weights=theirs)
        assert _standing(store, work) == ["b"]
        (folder / weights.DONE).unlink()
        assert _standing(store, work) == ["a", "b"]  # weights that are not here contradict nothing


@pytest.mark.parametrize("split", ["report", "selection"])
def test_a_record_of_images_that_are_others_now_answers_nothing(store, shades, root, split):
    how = msgspec.structs.replace(shades.evaluate, split=split)
    work = _work(msgspec.structs.replace(shades, evaluate=how))
    _record(store, work, data=data.load(shades.data, split).fingerprint())
    assert _standing(store, work) == ["a"]
    half = root / ("val" if split == "report" else "train")
    _swap(half / "dark", half / "light")
    assert _standing(store, work) == []
    _swap(half / "dark", half / "light")
    assert _standing(store, work) == ["a"]
    root.rename(root.with_name("elsewhere"))
    assert _standing(store, work) == ["a"]


def test_a_record_of_features_is_of_the_training_images_too(store, shades, root):
    work = _work(shades)
    found = {
        name: data.load(shades.data, split).fingerprint() for name, split in (("data", "report"), ("train", "train"))
    }
    _record(store, work, **found)
    assert _standing(store, work) == ["a"]
    _swap(root / "train" / "dark", root / "train" / "light")
    assert _standing(store, work) == []


@pytest.fixture
def label_maps(tmp_path):
    """Pictures and label maps in ADE20K's layout, two of each half."""
    root = tmp_path / "shapes"
    for number, half in enumerate(("training", "training", "validation", "validation")):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            path = root / kind / half / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), number % 2).save(path)
    return root


def _score(name, **options):
    """A trial that scores predictions against data in a folder."""
    return Trial(
        task="score",
        model=Model(name="predictions"),
        input=Input(image=None),
        data=data.resolve(name, options),
        predictions=Predictions(path="nowhere", digest="said"),
    )


def test_a_score_against_other_label_maps_than_are_here_answers_nothing(store, label_maps):
    work = _work(_score("labelfolder", set="shapes", classes=2, root=str(label_maps)))
    validation = label_maps / "annotations" / "validation"
    _record(store, work, truth=scoring.digest(validation, sorted(validation.iterdir())))
    assert _standing(store, work) == ["a"]
    _swap(validation / "2.png", validation / "3.png")
    assert _standing(store, work) == []
    _swap(validation / "2.png", validation / "3.png")
    (label_maps / "annotations" / "training" / "0.png").unlink()  # which it is not scored against
    assert _standing(store, work) == ["a"]
    label_maps.rename(label_maps.with_name("elsewhere"))
    assert _standing(store, work) == ["a"]


def test_label_maps_that_were_corrected_where_they_lie_are_seen(store, label_maps, monkeypatch):
    monkeypatch.setattr(here, "WORTH_KEEPING_S", 0.0)
    work = _work(_score("labelfolder", set="shapes", classes=2, root=str(label_maps)))
    validation = label_maps / "annotations" / "validation"
    _record(store, work, truth=scoring.digest(validation, sorted(validation.iterdir())))
    assert _standing(store, work) == ["a"]
    (validation / "2.png").write_bytes((validation / "3.png").read_bytes())  # which changes no folder
    assert _standing(store, work) == []
    label_maps.rename(label_maps.with_name("elsewhere"))
    assert _standing(store, work) == ["a"]


def test_pictures_with_label_maps_are_compared_as_others_are(store, label_maps):
    trial = _score("labelfolder", set="shapes", classes=2, root=str(label_maps), selection=0.0)
    work = _work(msgspec.structs.replace(trial, evaluate=Evaluate(image=4)))
    _record(store, work, data=data.load(trial.data, "report").fingerprint())
    assert _standing(store, work) == ["a"]
    _swap(label_maps / "images" / "validation" / "2.jpg", label_maps / "images" / "validation" / "3.jpg")
    assert _standing(store, work) == []


def test_a_score_against_other_annotations_than_are_here_answers_nothing(store, tmp_path):
    path = tmp_path / "boxes" / "annotations" / "instances_val2017.json"
    work = _work(_score("cocofolder", set="boxes", classes=2, root=str(tmp_path / "boxes")))
    _record(store, work, truth=_sha256(b"first"))
    assert _standing(store, work) == ["a"]  # there is no such file here: nothing is known
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first")
    assert _standing(store, work) == ["a"]
    path.write_bytes(b"other")
    assert _standing(store, work) == []


def test_data_that_lie_in_no_folder_are_not_opened_to_be_compared(tmp_path):
    code = """
import sys
from bench import data, here, registry
from bench.record import Record
from bench.store import Snapshot
from bench.trial import Evaluate, Input, Model, Trial
from bench.work import Work
trial = Trial(
    model=Model(name="vit"), input=Input(image=8), data=data.resolve("digits", {}), evaluate=Evaluate(image=8)
)
work = Work(key="k", measure="top1", version=1, trial=trial)
record = Record(
    key="k", measure="top1", version=1, attempt="a", time="1", seconds=1, trial=trial, bound={"data": "a"}
)
print(here.contradiction(work, record, Snapshot()), {"torch", "sklearn", "numpy"} & {*sys.modules})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("None set()\n", "")


@pytest.mark.parametrize(
    ("what", "need"),
    [
        ("data", "trained on the images that are here now"),
        ("start", "started from the weights that are here now"),
        ("teacher", "taught by the weights that are here now"),
    ],
)
def test_weights_that_were_made_of_something_else_are_measured_no_more_and_what_to_do_is_said(
    store, shades, root, complete, tmp_path, what, need
):
    file = tmp_path / "start.safetensors"
    file.write_bytes(b"start")
    teacher = complete(store.weights_folder("teacher"), written=b"teacher").weights
    trial = msgspec.structs.replace(
        shades,
        train=msgspec.structs.replace(shades.train, start=Source(kind="file", ref=str(file))),
        distill=Distill(teacher=Source(kind="trial", ref="teacher")),
    )
    folder = store.weights_folder(weights_key(trial))
    said = complete(
        folder,
        data=data.load(shades.data, "train").fingerprint(),
        sources={"start": _sha256(b"start"), "teacher": teacher},
    )
    (folder / weights.TRIAL).write_bytes(msgspec.json.encode(trial))
    works = [_work(trial), _work(_untrained(shades, "trial", folder.name))]  # of itself, and as weights of a row
    assert works[0].key == works[1].key
    _record(store, works[0], weights=said.weights, data=data.load(shades.data, "report").fingerprint())
    assert [_standing(store, work) for work in works] == [["a"], ["a"]]
    if what == "data":
        (root / "train" / "dark" / "0.png").rename(root / "train" / "light" / "new.png")
    elif what == "start":
        file.write_bytes(b"other")
    else:
        complete(store.weights_folder("teacher"), written=b"another teacher")
    for work in works:
        assert here.outdated(folder.name, store.read()) == what
        assert _standing(store, work) == []
        assert attempt(work, store, "b", WATCH).failure == Failure(
            kind="needs", reason=f"weights {folder.name} {need}; remove {folder} to train again"
        )


def test_a_digest_that_took_long_is_kept_until_its_file_changes(store, digits_trial, tmp_path, monkeypatch, cache):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"first")
    work = _work(_untrained(digits_trial(), "file", path))
    _record(store, work, weights=_sha256(b"first"), time="2026-01-01")
    assert _standing(store, work) == ["a"]
    assert not cache.exists()  # what is read at once is read again
    monkeypatch.setattr(here, "WORTH_KEEPING_S", 0.0)
    assert _standing(store, work) == ["a"]
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_bytes())["digest"] == _sha256(b"first")
    kept.write_bytes(kept.read_bytes().replace(_sha256(b"first").encode(), b"as kept"))
    assert _standing(store, work) == []  # it was not read
    path.write_bytes(b"first")
    assert _standing(store, work) == ["a"]
    kept.write_bytes(b"damaged")
    assert _standing(store, work) == ["a"]


def test_images_that_were_overwritten_where_they_lie_are_seen_when_a_later_record_says_so(
    store, shades, root, monkeypatch
):
    monkeypatch.setattr(here, "WORTH_KEEPING_S", 0.0)
    work = _work(shades)
    _record(store, work, data=data.load(shades.data, "report").fingerprint(), time="2026-01-01")
    assert _standing(store, work) == ["a"]
    with (root / "val" / "dark" / "0.png").open("ab") as file:
        file.write(b"more")
    assert _standing(store, work) == ["a"]  # no folder changed
    _record(store, work, attempt="b", data=data.load(shades.data, "report").fingerprint(), time=LATER)
    assert _standing(store, work) == ["b"]


def test_a_digest_is_looked_for_once_however_many_records_say_otherwise(store, shades, monkeypatch):
    read, count = data.load, []
    monkeypatch.setattr(data, "load", lambda *which: count.append(which) or read(*which))
    work = _work(shades)
    for number in range(5):
        _record(store, work, attempt=str(number), data=str(number), time=LATER)
    assert _standing(store, work) == []
    assert len(count) == 1


def test_a_home_that_cannot_be_written_costs_a_second_reading_and_nothing_else(
    store, digits_trial, tmp_path, monkeypatch
):
    monkeypatch.setattr(here, "WORTH_KEEPING_S", 0.0)
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "w.safetensors").write_bytes(b"first")
    work = _work(_untrained(digits_trial(), "file", tmp_path / "w.safetensors"))
    _record(store, work, weights=_sha256(b"first"))
    assert _standing(store, work) == ["a"]


def test_what_is_measured_here_answers_here(store, shades, trained):
    left = trained(shades, store=store.path)
    for trial in (shades, _untrained(shades, "file", left.folder / weights.WEIGHTS)):
        work = _work(trial)
        record = attempt(work, store, "b", WATCH)
        assert record.failure is None
        assert {"weights", "data"} < record.bound.keys()
        store.append(record)
        assert _standing(store, work) == ["b"]
