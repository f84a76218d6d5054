"""What every measure keeps to: a new file in bench/measures is tested here before anybody writes a test for it."""

import math

import msgspec
import pytest

from bench import registry
from bench.identity import record_key, weights_key
from bench.subject import Subject
from bench.trial import Trial

MEASURES = registry.names("measures")
ONLY = ("MODELS", "TASKS", "DATA")
OF_ANY = [name for name in MEASURES if not any(hasattr(registry.load("measures", name), only) for only in ONLY)]
"""Measures that are not of a model, a task or data of theirs, which is tested beside them."""


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_says_what_it_produces_and_what_that_depends_on(name):
    module = registry.load("measures", name)
    assert module.__doc__.startswith(f"{name}: ")
    assert isinstance(module.VERSION, int)
    fields = {*Trial.__struct_fields__, "weights"} - {"execution"}
    assert module.DEPENDS_ON
    assert set(module.DEPENDS_ON) <= fields
    assert module.PRODUCES or hasattr(module, "TASKS")  # a command gives what a study declares
    assert all(better in ("higher", "lower", None) for _, better in module.PRODUCES.values())
    assert set(getattr(module, "LABELS", {})) <= set(module.PRODUCES)


@pytest.mark.parametrize("name", OF_ANY)
def test_a_measure_of_a_small_trained_vit_yields_what_it_says_and_the_same_again(name, digits_trial, trained):
    module, trial = registry.load("measures", name), digits_trial()
    left = trained(trial) if "weights" in module.DEPENDS_ON else None
    found = []
    for _ in range(2):
        subject = Subject(store=left.subject.store, weights_folder=left.folder) if left else Subject(store="nowhere")
        found.append(module.measure(trial, subject))
        assert msgspec.json.encode(subject.bound)  # it fits in a record
        assert all((subject.store / path).is_file() for path in subject.artifacts.values())
    quantities = found[0]
    assert quantities
    assert {quantity: (said.unit, said.better) for quantity, said in quantities.items()} == {
        quantity: module.PRODUCES[quantity] for quantity in quantities
    }
    assert all(said.samples and all(map(math.isfinite, said.samples)) for said in quantities.values())
    assert found[1] == quantities


def test_a_quantity_is_produced_by_one_measure_alone():
    produced = [quantity for name in MEASURES for quantity in registry.load("measures", name).PRODUCES]
    assert sorted(produced) == sorted(registry.quantities())


def test_keys_of_two_measures_of_one_trial_differ(digits_trial):
    trial = digits_trial()
    modules = {name: registry.load("measures", name) for name in MEASURES}
    keys = {record_key(name, module.VERSION, module.DEPENDS_ON, trial) for name, module in modules.items()}
    assert len(keys | {weights_key(trial)}) == len(MEASURES) + 1
