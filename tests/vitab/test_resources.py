"""What jobs ask for: a spec's resources, over them the user's site file, over both the command line."""

import argparse

import pytest

from ablations.schema import Resources
from bench import letters
from bench.errors import UserError
from slurm.request import Request
from vitab import dispatch, planning
from vitab.works import select

SPEC = """\
study: {name}
base: {{model: {{name: vit, image: 8, patch: 4, dim: 16, depth: 1, heads: 2}}, data: digits}}
columns: [params]
resources: {{{resources}}}
"""
ALL = "cpus: 4, gpus: 2, memory_gb: 3, partition: gpu, account: lab, qos: night, comment: it's mine"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A function: what jobs ask for of studies with these resources, and words of the command line."""
    monkeypatch.setenv("VITAB_SITE", str(tmp_path / "site.yaml"))

    def ask(*resources, site="", slurm=()):
        (tmp_path / "site.yaml").write_text(site)
        (tmp_path / "site.yaml").chmod(0o600)
        chosen = []
        for number, text in enumerate(resources):
            path = tmp_path / f"study{number}.yaml"
            path.write_text(SPEC.format(name=path.stem, resources=text))
            chosen.append(select(str(path)))
        return dispatch.resources(chosen, argparse.Namespace(slurm=list(slurm)))

    return ask


def test_a_site_file_goes_over_a_spec_and_the_command_line_over_both(asked):
    of_spec = Request(cpus=4, gpus=2, memory_gb=3, partition="gpu", account="lab", qos="night", comment="it's mine")
    assert asked(ALL) == of_spec
    found = asked(ALL, site="request: {partition: low, qos: day}", slurm=["qos=now", "exclude=n[1-3]", "cpus=1"])
    assert found == Request(
        cpus=1, gpus=2, memory_gb=3, partition="low", account="lab", qos="now", exclude="n[1-3]", comment="it's mine"
    )


def test_of_two_studies_the_larger_number_counts_and_of_two_texts_neither(asked):
    first, second = "cpus: 4, partition: gpu", "cpus: 2, memory_gb: 9, partition: low"
    assert asked("cpus: 4, partition: gpu", "cpus: 2, memory_gb: 9") == Request(cpus=4, memory_gb=9, partition="gpu")
    with pytest.raises(UserError) as problem:
        asked(first, second)
    assert str(problem.value) == (
        "study1: resources.partition 'low', and 'gpu' of a study before it:"
        " send them one by one, or say --slurm partition=…"
    )
    assert asked(first, second, slurm=["partition=all"]).partition == "all"
    assert asked(first, second, site="request: {partition: mine}").partition == "mine"


def test_texts_of_a_spec_are_those_of_a_request_held_to_the_same_letters():
    kinds = {"partition": letters.Name, "account": letters.Name, "qos": letters.Name}
    kinds |= {"constraint": letters.Expression, "exclude": letters.Expression, "comment": letters.Text}
    assert tuple(kinds) == dispatch.TEXTS
    for struct in (Resources, Request):
        assert {name: struct.__annotations__[name] for name in kinds} == {
            name: kind | None for name, kind in kinds.items()
        }


def test_a_plan_says_what_only_jobs_are_given(asked, tmp_path):
    asked(ALL)
    said = planning.resources_note(select(str(tmp_path / "study0.yaml")).grid.study)
    assert said == (
        "cpus 4, gpus 2, memory_gb 3, partition gpu, account lab, qos night, comment it's mine: for Slurm jobs;"
        " a local worker has `execution.threads`, and a GPU where there is one"
    )
