"""What is wrong with a cluster's folder, ports or machine is said before anything is started."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from bench import machine
from bench.errors import UserError
from slurm.cluster import __main__ as command
from slurm.cluster import cluster, configuration, files, installing, settings
from slurm.cluster.daemons import Daemon
from slurm.cluster.settings import Settings


def _daemon(folder: Path, **fields: object) -> Daemon:
    known = {
        "name": "sleeper",
        "program": "sleep",
        "pid_file": folder / "sleep.pid",
        "log": folder / "sleep.log",
        "start": ["false"],
        "listens": folder / "socket",
        "mark": "MARK=here",
    }
    return Daemon(**known | fields)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/tmp/two words", "slurm.conf cannot name a folder with ' '"),
        ("/tmp/n[1-4]", "slurm.conf cannot name a folder with '['"),
        ("/tmp/" + "x" * 100, "too long for the sockets in it; allowed: 88 bytes"),
    ],
)
def test_a_folder_that_slurm_cannot_use_is_refused(folder, said):
    with pytest.raises(UserError, match=said.replace("[", r"\[").replace("(", r"\(")):
        files.check(configuration.places(Path(folder)))


def test_the_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user"):
        files.check(configuration.places(tmp_path))


def test_a_folder_that_another_user_made_in_the_last_moment_is_refused(tmp_path, monkeypatch):
    made, me = Path.mkdir, os.geteuid()

    def by_another(self: Path, *given: object, **named: object) -> None:
        made(self, *given, **named)
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)

    monkeypatch.setattr(installing, "lacking", lambda wanted: None)
    monkeypatch.setattr(Path, "mkdir", by_another)
    with pytest.raises(UserError, match="belongs to another user"):
        cluster.up(tmp_path / "new", Settings())
    assert list((tmp_path / "new").iterdir()) == []


def test_keys_stay_what_they_are_and_only_their_owner_reads_them(tmp_path):
    here = configuration.places(tmp_path / "one")
    files.make(Settings(gpus=0), here)
    first = (here.etc / "munge.key").read_bytes()
    files.make(Settings(gpus=0), here)
    assert (here.etc / "munge.key").read_bytes() == first
    assert {path.stat().st_mode & 0o777 for path in here.etc.iterdir()} == {0o600}
    assert here.folder.stat().st_mode & 0o777 == 0o700


def test_a_changed_setting_changes_the_files(tmp_path):
    here, wanted = configuration.places(tmp_path / "one"), Settings(nodes=2, gpus=0)
    files.make(wanted, here)
    files.write(files.configured(wanted, here))
    assert not files.differ(files.configured(wanted, here))
    assert files.differ(files.configured(Settings(nodes=3, gpus=0), here))


def test_purge_removes_no_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is no cluster's folder; nothing was removed"):
        cluster.purge(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_what_never_was_is_down_already(tmp_path, capsys):
    assert [command.main(["--folder", str(tmp_path / "none"), word]) for word in ("down", "purge")] == [0, 0]
    assert command.main(["--folder", str(tmp_path / "none"), "status"]) == 2
    assert "no cluster in" in capsys.readouterr().err


def test_an_unknown_node_is_refused_with_the_known_ones(tmp_path, capsys):
    settings.save(tmp_path, Settings(nodes=2))
    assert command.main(["--folder", str(tmp_path), "kill-node", "n3"]) == 2
    assert capsys.readouterr().err == "no node 'n3'; allowed: n1, n2\n"


def test_a_container_without_sys_is_said_to_lack_it(tmp_path, monkeypatch):
    for name in (*installing.PROGRAMS, *installing.ACCOUNTING_PROGRAMS):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(installing, "TOPOLOGY", tmp_path / "cpu")
    assert installing.lacking(Settings()) == (
        "/sys, from which slurmd reads the processors: start the container with it"
    )
    (tmp_path / "cpu").mkdir()
    assert installing.lacking(Settings()) is None


def test_a_port_that_is_taken_is_said_before_a_daemon_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"sleeper: something else listens at {port}"):
            _daemon(tmp_path, listens=port).up({})


def test_a_daemon_that_does_not_start_is_shown_with_its_last_words(tmp_path):
    start = ["sh", "-c", "echo first; echo the disk is full; exit 1"]
    with pytest.raises(UserError, match=r"sleeper did not start: the disk is full \("):
        _daemon(tmp_path, start=start).up(dict(os.environ))


def test_a_pid_that_another_program_has_by_now_is_no_daemon(tmp_path):
    one = _daemon(tmp_path)
    one.pid_file.write_text(f"{os.getpid()}\n")
    assert (one.pid, one.down()) == (None, False)
    assert not one.pid_file.exists()


@pytest.mark.parametrize(
    ("process", "stays"),
    [("999999999 1", False), (f"{os.getpid()} {machine.start_time(os.getpid())}", True)],
    ids=["gone", "alive"],  # alike in every process that collects tests
)
def test_what_an_install_that_was_killed_left_behind_is_removed_by_the_next(process, stays, tmp_path, monkeypatch):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(installing, "POLICY", policy)
    policy.write_text(f"#!/bin/sh\n{installing.OURS} {process}\nexit 101\n")
    installing.forget_killed()
    assert policy.exists() == stays


def test_services_are_kept_from_starting_while_an_install_lasts_and_a_policy_of_others_stays(tmp_path, monkeypatch):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(installing, "POLICY", policy)
    with installing._no_services():
        installing.forget_killed()
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 101\n")
    with installing._no_services():
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 101\n"
