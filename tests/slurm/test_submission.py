"""Submission: what is asked of sbatch and how often, and that it is what then runs."""

import os
import subprocess
import sys

import pytest
from pretended import calls, flags, prepared, waves

from bench.errors import Needs, UserError
from bench.store import Store
from slurm import sending, states, submission
from slurm.limits import limits
from slurm.request import Request

LOST = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"


def test_a_study_is_no_part_of_a_path_or_a_shell(tmp_path, fake):
    sent = sending.prepare(waves(1), Store(tmp_path / "runs"), Request(), study="../a b;$(ls)\n", max_array_size=9)
    assert sent.folder.parent == tmp_path / "runs.jobs"
    assert submission.submit(sent).send.arrays[0].id == "700"
    assert flags((fake / "script.0").read_text())["job-name"] == sent.send.arrays[0].name
    assert set(sent.send.arrays[0].name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_every_array_is_sent_once_and_its_id_is_written_down(tmp_path, fake):
    sent = submission.submit(prepared(tmp_path / "runs", waves(3, 1), size=2))
    assert [array.id for array in sent.send.arrays] == ["700", "701", "702"]
    assert sending.sends(Store(tmp_path / "runs")) == [sent]
    scripts = [flags((fake / f"script.{number}").read_text()) for number in range(3)]
    assert [(one["array"], one.get("dependency")) for one in scripts] == [
        ("0-1%2", None),
        ("0-0%1", None),
        ("0-0%1", "afterany:700:701"),
    ]
    assert all("requeue" in one and "hold" not in one for one in scripts)
    submission.submit(sent)
    assert calls(fake) == 3


def test_nothing_is_pickled(tmp_path, fake):
    sent = submission.submit(prepared(tmp_path / "runs", waves(3)))
    assert [path for path in sent.folder.rglob("*") if path.suffix == ".pkl"] == []


def test_jobs_can_be_held(tmp_path, fake):
    submission.submit(prepared(tmp_path / "runs", waves(1)), hold=True)
    assert "hold" in flags((fake / "script.0").read_text())


@pytest.mark.parametrize(
    ("parallel", "caps", "dependencies"),
    [
        (None, ["2", "2", "1"], [None, None, None]),
        (9, ["3", "3", "3"], [None, None, None]),
        (4, ["2", "1", "1"], [None, None, None]),
        (2, ["1", "1", "1"], [None, None, "afterany:700"]),
        (1, ["1", "1", "1"], [None, "afterany:700", "afterany:701"]),
    ],
)
def test_arrays_of_a_wave_share_what_may_run_at_once(tmp_path, fake, parallel, caps, dependencies):
    submission.submit(prepared(tmp_path / "runs", waves(5), size=2, parallel=parallel))
    scripts = [flags((fake / f"script.{number}").read_text()) for number in range(3)]
    sizes = ["2", "2", "1"]
    assert [one["array"].partition("%")[2] for one in scripts] == list(map(min, caps, sizes))
    assert [one.get("dependency") for one in scripts] == dependencies


def test_a_lost_answer_is_found_by_name_and_nothing_is_sent_twice(tmp_path, fake):
    (fake / "says.0").write_text(LOST)
    (fake / "arrives.0").touch()
    sent = submission.submit(prepared(tmp_path / "runs", waves(1)))
    assert (sent.send.arrays[0].id, calls(fake)) == ("700", 1)


def test_what_did_not_arrive_is_sent_again(tmp_path, fake):
    (fake / "says.0").write_text("sbatch: error: Unable to contact slurm controller (connect failure)\n")
    sent = submission.submit(prepared(tmp_path / "runs", waves(1)))
    assert (sent.send.arrays[0].id, calls(fake)) == ("701", 2)
    assert (fake / "looks").read_text().count("call") == 3  # before it was sent, and twice before it was sent again


def test_a_silent_queue_is_no_leave_to_send_again(tmp_path, fake, monkeypatch):
    sent = prepared(tmp_path / "runs", waves(1))
    (fake / "says.0").write_text(LOST)
    monkeypatch.setattr(submission, "PATIENCE_S", 0.5)
    monkeypatch.setattr(states, "arrays_called", lambda names: None if calls(fake) else {})
    with pytest.raises(submission.Unsettled) as problem:
        submission.submit(sent)
    assert str(problem.value) == (
        "sbatch: Batch job submission failed: Socket timed out on send/recv operation;"
        " what has arrived is found when this is tried again"
    )
    assert calls(fake) == 1


def test_an_answer_that_nobody_understands_is_settled_by_name(tmp_path, fake):
    (fake / "answers.0").write_text("Thank you!\n")
    sent = submission.submit(prepared(tmp_path / "runs", waves(1)))
    assert (sent.send.arrays[0].id, calls(fake)) == ("700", 1)


def test_what_a_dead_submitter_sent_is_found_and_the_rest_is_sent(tmp_path, fake):
    sent = prepared(tmp_path / "runs", waves(1, 1))
    (fake / "queue").write_text(f"555|{sent.send.arrays[0].name}\n")
    (found,) = sending.sends(Store(tmp_path / "runs"))
    assert [array.id for array in submission.submit(found).send.arrays] == ["555", "700"]
    assert flags((fake / "script.0").read_text())["dependency"] == "afterany:555"


def test_a_refusal_is_one_line_in_slurms_words_and_what_was_sent_stays_known(tmp_path, fake, capsys):
    (fake / "says.1").write_text(
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    with pytest.raises(UserError) as problem:
        submission.submit(prepared(tmp_path / "runs", waves(1, 1)))
    assert str(problem.value) == (
        "sbatch: invalid partition specified: nope; Batch job submission failed: Invalid partition name specified;"
        " 1 of 2 jobs were sent before that (array 700), and the same command sends the rest"
    )
    assert capsys.readouterr() == ("", "")
    (left,) = sending.sends(Store(tmp_path / "runs"))
    assert [array.id for array in left.send.arrays] == ["700", None]


def test_what_no_node_could_ever_do_is_refused_before_any_of_it_is_sent(tmp_path, fake):
    (fake / "never").write_text(f"allocation failure: {submission.NEVER}\n")
    with pytest.raises(
        UserError, match=r"^sbatch: Requested node .*: no node has what a job asks for \(see --dry-run\)$"
    ):
        submission.submit(prepared(tmp_path / "runs", waves(1), nodes=77))
    assert calls(fake) == 0
    (fake / "bin" / "sinfo").write_text("#!/bin/sh\necho idle; echo 'drained*'\n")
    assert submission.submit(prepared(tmp_path / "runs", waves(1), nodes=77)).send.arrays[0].id == "700"
    assert flags((fake / "tried").read_text())["nodes"] == "77"


def test_without_slurm_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Needs, match="Slurm's sbatch, which is not on this machine's PATH"):
        submission.submit(prepared(tmp_path / "runs", waves(1)))
    assert limits() == (100, None)


def test_limits_that_nobody_can_be_asked_for_may_stand_in_the_site_file(tmp_path, monkeypatch):
    monkeypatch.setenv("VITAB_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "site.yaml").write_text("{max_array_size: 10, max_submitted: 20}")
    assert limits() == (10, 20)


def test_a_controller_that_tells_no_limits_is_one_line(fake):
    (fake / "bin" / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    (fake / "bin" / "scontrol").chmod(0o755)
    with pytest.raises(Needs, match=r"controller does not answer \(`scontrol show config`\); try again later"):
        limits()


def test_lines_of_the_site_and_our_words_reach_the_shell_as_they_are(tmp_path, fake, monkeypatch):
    data = tmp_path / 'da\'ta $(touch pwned) "x"\n#SBATCH --hold'
    monkeypatch.setenv("VITAB_DATA", str(data))
    (tmp_path / "site.yaml").write_text("setup: ['export GREETING=hello']")
    for path in (tmp_path, tmp_path / "site.yaml"):
        path.chmod(path.stat().st_mode & ~0o022)
    store = tmp_path / "a b" / 'it\'s "q" $(touch pwned) `touch pwned`;touch pwned' / "runs"
    sent = submission.submit(prepared(store, waves(1), comment="it's $(touch pwned); #x"))
    (fake / "bin" / "srun").write_text(
        '#!/bin/sh\nprintf "%s\\0" "$@" "$GREETING" "$VITAB_DATA" "$PYTHONPATH" > $FAKE/words\n'
    )
    script = fake / "script.0"
    subprocess.run(["bash", script], check=True, cwd=fake, env={**os.environ, "PYTHONPATH": "/site"})
    words = (fake / "words").read_text().split("\0")
    assert words[-4:-1] == ["hello", str(data), f"{sent.folder}/code:/site"]
    assert words[-11:-4] == [sys.executable, "-P", "-u", "-m", "slurm.job", str(sent.folder), "0"]
    assert not list(tmp_path.rglob("pwned"))
    shell = script.read_text()
    assert shell.index("#SBATCH --signal") < shell.index("export GREETING") < shell.index("#SBATCH --hold")


def test_a_job_that_sends_gives_none_of_its_own_settings_and_keeps_the_way_to_slurm(tmp_path, fake, monkeypatch):
    own = {"SLURM_JOB_ID": "5", "SLURM_CPUS_PER_TASK": "7", "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": "1"}
    for name, value in {**own, "SLURM_CONF": "/etc/of/ours", "SLURM_JWT": "token"}.items():
        monkeypatch.setenv(name, value)
    submission.submit(prepared(tmp_path / "runs", waves(1)))
    given = dict(line.split("=", 1) for line in (fake / "environment.0").read_text().splitlines() if "=" in line)
    assert (given["SLURM_CONF"], given["SLURM_JWT"]) == ("/etc/of/ours", "token")
    assert set(given).isdisjoint(own)
    assert {name: os.environ[name] for name in own} == own


def test_what_the_user_set_for_slurm_outside_of_a_job_is_left(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("SLURM_CPU_BIND", "cores")
    submission.submit(prepared(tmp_path / "runs", waves(1)))
    assert "SLURM_CPU_BIND=cores\n" in (fake / "environment.0").read_text()
