"""What others could change or replace is not run; what only looks like it is."""

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import trust
from bench.errors import UserError


@pytest.fixture
def script(tmp_path):
    """A file in a folder that only its user writes."""
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o700)
    (folder / "script").touch(mode=0o600)
    return folder / "script"


def refused(path: Path) -> str:
    with pytest.raises(UserError) as problem:
        trust.check(path, "it is run")
    return str(problem.value)


def test_what_only_its_user_writes_is_trusted(script):
    trust.check(script, "it is run")
    trust.check(script.with_name("not there yet"), "it is run")


def test_a_file_that_everybody_writes_is_not_even_in_a_sticky_folder(script):
    script.chmod(0o602)
    script.parent.chmod(0o1777)
    assert refused(script) == f"{script}: others may write {script}, and it is run; chmod go-w {script}"


def test_a_folder_that_everybody_writes_is_not_unless_it_is_sticky(script):
    script.parent.chmod(0o702)
    assert refused(script) == (
        f"{script}: others may write {script.parent}, and it is run;"
        f" chmod go-w {script.parent}, or chmod +t {script.parent}"
    )
    script.parent.chmod(0o1702)
    trust.check(script, "it is run")


def test_a_link_is_followed_and_its_own_place_is_looked_at(script, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "link").symlink_to(script)
    (tmp_path / "open" / "link").symlink_to(script)
    (tmp_path / "open").chmod(0o777)
    trust.check(tmp_path / "link", "it is run")
    assert f"others may write {tmp_path}/open, and it is run" in refused(tmp_path / "open" / "link")


def test_what_belongs_to_somebody_else_is_not(script, monkeypatch):
    if os.getuid() == 0:
        os.chown(script, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: script.stat().st_uid + 1)
    assert refused(script) == f"{script}: {script} belongs to somebody else, and it is run"


@pytest.mark.parametrize(
    ("name", "members", "primary", "trusted"),
    [
        ("me", [], 7, True),
        ("me", ["me"], 7, True),
        ("me", ["me", "you"], 7, False),
        ("lab", [], 7, False),
        ("me", [], 8, False),
    ],
)
def test_a_group_that_a_user_has_alone_is_himself(script, monkeypatch, name, members, primary, trusted):
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="me", pw_gid=primary))
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=name, gr_mem=members))
    assert trust._alone(7) is trusted
    monkeypatch.setattr(trust, "_alone", lambda group: trusted)
    script.chmod(0o660)
    if trusted:
        trust.check(script, "it is run")
    else:
        assert f"others may write {script}" in refused(script)
