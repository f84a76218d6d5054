"""Sending: what is written for the jobs, where, and who may."""

import os
import threading
from pathlib import Path

import pytest
from pretended import prepared, waves, works

import slurm as package
from bench.errors import UserError
from bench.store import Store
from slurm import sending, snapshot
from slurm.request import Request

CHECKOUT = Path(package.__file__).resolve().parents[1]


def test_a_send_is_a_private_folder_beside_the_store_with_all_that_jobs_need(tmp_path):
    sent = prepared(tmp_path / "runs", waves(3, 2), size=2, qos="night")
    assert sent.folder.parent == sending.root(Store(tmp_path / "runs")) == tmp_path / "runs.jobs"
    assert [path.stat().st_mode & 0o777 for path in (sent.folder, sent.folder.parent)] == [0o700, 0o700]
    assert sorted(path.name for path in sent.folder.iterdir()) == ["code", "jobs", "manifest.jsonl", "send.json"]
    assert sending.manifest(sent.folder) == works(5)
    assert [(array.own, array.after) for array in sent.send.arrays] == [
        (((0,), (1,)), ()),
        (((2,),), ()),
        (((3,), (4,)), (0, 1)),
    ]
    assert len({array.name for array in sent.send.arrays}) == 3
    assert (sent.jobs, sent.send.request) == (5, Request(qos="night"))
    assert sending.sends(Store(tmp_path / "runs")) == [sent]


def test_the_snapshot_is_whole(tmp_path):
    code = prepared(tmp_path / "runs", waves(1)).folder / "code"
    for package_name in snapshot.PACKAGES:
        ours = {
            path.relative_to(CHECKOUT)
            for path in (CHECKOUT / package_name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }
        theirs = {path.relative_to(code) for path in (code / package_name).rglob("*") if path.is_file()}
        assert theirs == ours
    suffixes = {path.suffix for path in code.rglob("*") if path.is_file()}
    assert {".py", ".yaml"} <= suffixes
    assert ".pyc" not in suffixes
    assert (code / "vitab" / "py.typed").exists()
    assert not list(code.rglob("__pycache__"))


def test_two_sends_of_one_moment_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "now", lambda: "2026-11-21T09:00:00.000000+00:00")
    prepared(tmp_path / "runs", waves(1))
    with pytest.raises(UserError, match="file exists"):
        prepared(tmp_path / "runs", waves(1))


@pytest.mark.parametrize("name", ["50%j", "a:b", "a\\b", "a\nb"])
def test_a_store_whose_path_slurm_or_python_would_take_apart_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="Slurm jobs need a path without"):
        prepared(tmp_path / name / "runs", waves(1))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_sends_that_others_may_write_is_refused(tmp_path):
    (tmp_path / "runs.jobs").mkdir()
    (tmp_path / "runs.jobs").chmod(0o777)
    with pytest.raises(UserError, match=f"others may write {tmp_path}/runs.jobs, and jobs run what lies there; chmod"):
        prepared(tmp_path / "runs", waves(1))


def test_a_folder_of_sends_that_others_made_in_the_last_moment_is_refused(tmp_path, monkeypatch):
    made = Path.mkdir

    def open_to_all(self: Path, *given: object, **named: object) -> None:
        made(self, *given, **named)
        if self.suffix == ".jobs":
            self.chmod(0o777)

    monkeypatch.setattr(Path, "mkdir", open_to_all)
    with pytest.raises(UserError, match=f"others may write {tmp_path}/runs.jobs, and jobs run what lies there; chmod"):
        prepared(tmp_path / "runs", waves(1))


def test_what_others_may_rename_is_refused_as_well(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab").chmod(0o777)
    with pytest.raises(UserError) as problem:
        prepared(tmp_path / "lab" / "me" / "runs", waves(1))
    assert str(problem.value) == (
        f"{tmp_path}/lab/me/runs.jobs: others may write {tmp_path}/lab, and jobs run what lies there;"
        f" chmod go-w {tmp_path}/lab, or chmod +t {tmp_path}/lab"
    )
    (tmp_path / "lab").chmod(0o1777)
    assert prepared(tmp_path / "lab" / "me" / "runs", waves(1)).folder.is_dir()


def test_of_two_senders_at_once_the_second_waits_for_the_first(tmp_path):
    order: list[str] = []

    def second() -> None:
        with sending.alone(Store(tmp_path / "runs")):
            order.append("second")

    with sending.alone(Store(tmp_path / "runs")):
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=0.3)
        order.append("first")
    other.join(timeout=60)
    assert order == ["first", "second"]


def test_a_store_of_somebody_else_has_a_folder_of_sends_for_each_user(tmp_path, monkeypatch):
    (tmp_path / "runs.jobs").mkdir()
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert sending.root(Store(tmp_path / "runs")) == tmp_path / f"runs.jobs.{mine + 1}"


def test_a_send_that_is_not_ours_or_not_whole_is_none(tmp_path):
    sent = prepared(tmp_path / "runs", waves(1))
    for name, text in {"1-torn": '{"store":', "2-other": '{"format": 9}'}.items():
        (sent.folder.parent / name).mkdir()
        (sent.folder.parent / name / "send.json").write_text(text)
    assert sending.sends(Store(tmp_path / "runs")) == [sent]
