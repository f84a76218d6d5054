"""Which predictions they are: by content, whether a file or a folder, and never by where or when."""

import hashlib

import pytest

from bench import predictions
from bench.errors import Invalid
from bench.trial import Predictions


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "results.json"
    assert predictions.digest(path) is None
    path.write_bytes(b"[]")
    assert predictions.digest(path) == hashlib.sha256(b"[]").hexdigest()


def test_a_folder_is_known_by_the_names_and_bytes_of_its_files(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "city").mkdir(parents=True)
        (tmp_path / name / "city" / "a.png").write_bytes(b"a")
    one, other = tmp_path / "one", tmp_path / "other"
    assert predictions.digest(one) == predictions.digest(other)
    (one / ".DS_Store").write_bytes(b"left by a file manager")
    assert predictions.digest(one) == predictions.digest(other)
    (other / "city" / "a.png").rename(other / "city" / "b.png")
    assert predictions.digest(one) != predictions.digest(other)


def test_predictions_that_are_gone_or_others_are_not_scored(tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b"[]")
    planned = Predictions(digest=str(predictions.digest(path)), path=str(path))
    assert predictions.located(planned) == path
    path.write_bytes(b"[1]")
    with pytest.raises(Invalid, match=r"results.json was changed while this was being planned or measured$"):
        predictions.located(planned)
    path.unlink()
    with pytest.raises(Invalid, match=r"results.json is gone$"):
        predictions.located(planned)
