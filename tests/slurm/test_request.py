"""Requests: layers, limits, and texts that cannot leave the line of the script that they are put in."""

import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import trust
from bench.errors import UserError
from slurm.request import Request, Site, request, site, site_file

TEXTS = ("partition", "account", "qos", "constraint", "exclude", "comment")


def refused(**resources: object) -> str:
    with pytest.raises(UserError) as problem:
        request(resources)
    said = str(problem.value)
    assert "\n" not in said
    return said


def test_a_later_layer_goes_over_an_earlier_one_and_none_says_nothing():
    found = request({"cpus": 2, "partition": "low"}, {"cpus": 4, "qos": "night"}, {"cpus": None, "partition": "high"})
    assert found == Request(cpus=4, partition="high", qos="night")


def test_an_unknown_resource_names_the_nearest():
    assert refused(timeout_mins=5) == "no resource 'timeout_mins'; nearest: 'timeout_min'"


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "text",
    ["low\n", "low\nrm -rf ~", "low\r", "low\x00", "\n#SBATCH --wrap=ls", "low\\", "a\x1b[31m", "low\x7f"],
)
def test_no_text_leaves_its_line(name, text):
    assert refused(**{name: text}).startswith(f"resource {name} ")


@pytest.mark.parametrize("name", ["partition", "account", "qos", "constraint", "exclude"])
@pytest.mark.parametrize(
    "text", ["$(ls)", "`ls`", "a;b", "a b", "a'b", 'a"b', "a>b", "a<b", "~", "a#b", "a%j", "ä", ""]
)
def test_no_name_has_a_letter_that_means_something_to_a_shell_outside_quotes(name, text):
    assert refused(**{name: text}).startswith(f"resource {name} ")


def test_a_refused_name_says_what_is_allowed():
    said = refused(partition="low;ls")
    assert said == "resource partition 'low;ls': allowed: text of letters, digits and _ . , : @ + = - (at most 200)"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("constraint", "[rack1*2&rack2*4]"),
        ("constraint", "a100|h100"),
        ("exclude", "n[1-3,7],gpu-9"),
        ("partition", "low,high"),
        ("comment", 'what isn\'t "shell" at $HOME; #1'),
    ],
)
def test_what_slurm_understands_is_let_through(name, text):
    assert request({name: text}).parameters()[name] == text


@given(text=st.text(max_size=40))
def test_a_comment_that_is_accepted_is_one_word_of_one_line(text):
    try:
        said = request({"comment": text}).comment
    except UserError:
        return
    from submitit.slurm.slurm import _make_sbatch_string

    script = _make_sbatch_string(command="true", folder="/f", comment=said)
    lines = [line for line in script.split("\n") if line.startswith("#SBATCH --comment=")]
    harmless = _make_sbatch_string(command="true", folder="/f", comment="x")
    assert (len(lines), script.count("\n")) == (1, harmless.count("\n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpus", 0),
        ("cpus", 1.5),
        ("cpus", "2"),
        ("cpus", 10**9),
        ("gpus", -1),
        ("nodes", True),
        ("memory_gb", 0),
        ("memory_gb", math.inf),
        ("memory_gb", math.nan),
        ("timeout_min", -1),
        ("timeout_min", math.inf),
        ("warning_s", 2),
        ("partition", 7),
        ("jobs", 0),
    ],
)
def test_a_number_that_cannot_be_is_named(name, value):
    assert refused(**{name: value}).startswith(f"resource {name} {value!r}: ")


def test_what_is_not_said_is_left_to_the_site_and_not_to_defaults_of_submitit():
    from submitit.slurm.slurm import _make_sbatch_string

    script = _make_sbatch_string(command="true", folder="/f", **request({}).parameters())
    flags = {line.partition("=")[0].removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}
    assert flags == {
        "--cpus-per-task",
        "--error",
        "--job-name",
        "--nodes",
        "--open-mode",
        "--output",
        "--signal",
    }


def test_resources_become_what_slurm_calls_them():
    said = request({"cpus": 3, "gpus": 2, "memory_gb": 1.5, "timeout_min": 90.2, "qos": "q"}).parameters()
    assert {name: value for name, value in said.items() if value is not None} == {
        "cpus_per_task": 6,
        "gpus_per_node": 2,
        "nodes": 1,
        "mem": "1536M",
        "time": 91,
        "signal_delay_s": 120,
        "srun_args": ["--cpus-per-task=6", "--export=ALL"],
        "qos": "q",
    }


@pytest.mark.parametrize(("minutes", "warning_s"), [(0.2, 20), (1, 20), (3, 60), (6, 120), (600, 120)])
def test_a_short_job_is_warned_after_two_thirds_of_its_time(minutes, warning_s):
    assert request({"timeout_min": minutes}).warning_s == warning_s


def test_a_warning_that_comes_before_the_work_is_refused():
    assert refused(timeout_min=1, warning_s=60) == (
        "resource warning_s 60: a job of 60 s would be warned before it begins"
    )
    assert request({"timeout_min": 1, "warning_s": 40}).warning_s == 40


@pytest.fixture
def site_at(tmp_path, monkeypatch):
    """Writes a site file."""
    folder = tmp_path / "vitab"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VITAB_SITE", raising=False)

    def write(text: str):
        path = folder / "site.yaml"
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


def test_without_a_site_file_nothing_is_said(site_at):
    assert site() == Site()


def test_a_site_file_has_defaults_and_lines_of_shell(site_at):
    path = site_at("request: {partition: gpu, cpus: 4}\nsetup:\n  - module load cuda\n")
    assert site_file() == path
    assert site() == Site(request={"partition": "gpu", "cpus": 4}, setup=["module load cuda"])


def test_another_site_file_can_be_named(site_at, monkeypatch, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("request: {account: lab}")
    other.chmod(0o600)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("VITAB_SITE", str(other))
    assert site().request == {"account": "lab"}


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_site_file_that_others_may_write_is_refused(site_at, mode, monkeypatch):
    monkeypatch.setattr(trust, "_alone", lambda group: False)
    path = site_at("setup: [ls]")
    path.chmod(mode)
    with pytest.raises(UserError, match=f"others may write {path}, and its lines are run; chmod go-w {path}"):
        site()


def test_a_site_file_that_others_may_replace_is_refused(site_at):
    path = site_at("setup: [ls]")
    path.parent.chmod(0o777)
    with pytest.raises(UserError, match=f"others may write {path.parent}, and its lines are run"):
        site()


def test_a_link_to_a_file_that_others_may_write_is_refused(site_at, tmp_path):
    path = site_at("")
    path.unlink()
    target = tmp_path / "target.yaml"
    target.write_text("setup: [ls]")
    target.chmod(0o666)
    path.symlink_to(target)
    with pytest.raises(UserError, match="others may write"):
        site()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("request: {partitoin: gpu}", "no resource 'partitoin'; nearest: 'partition'"),
        ("request: {partition: 'a;b'}", "resource partition 'a;b': allowed: "),
        ("setup: module load cuda", "Expected `array`, got `str` - at `$.setup`"),
        ('setup: ["a\\nb"]', "Expected `str` matching regex"),
        ("sets: []", "Object contains unknown field `sets`"),
        ("- a", "Expected `object`, got `array`"),
        ("a: [", "while parsing a flow"),
    ],
)
def test_a_site_file_that_says_nothing_we_know_is_one_line(site_at, text, said):
    path = site_at(text)
    with pytest.raises(UserError) as problem:
        site()
    assert str(problem.value).startswith(f"{path}: ")
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_folder_in_place_of_the_site_file_is_one_line(site_at):
    path = site_at("")
    path.unlink()
    path.mkdir(mode=0o755)
    with pytest.raises(UserError, match="is a directory"):
        site()


def test_a_shell_reads_a_script_with_every_allowed_letter_as_comments_alone(tmp_path):
    from submitit.slurm.slurm import _make_sbatch_string

    every = "".join(chr(code) for code in range(32, 127) if chr(code) != "\\")
    script = _make_sbatch_string(
        command="echo done", folder=str(tmp_path), use_srun=False, **request({"comment": every}).parameters()
    )
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (ran.stdout, ran.stderr, list(tmp_path.iterdir())) == ("done\n", "", [])
