import pytest


@pytest.fixture
def every(script, monkeypatch):
    module = script("every_timm_model")
    monkeypatch.setattr(module, "DIFFERS", {"split*": "branches are summed"})
    return module


def _one(name, flops, torch, **operators):
    return {"model": name, "flops": flops, "torch": torch, "operators": {"conv": torch, **operators}}


def test_models_that_are_alike_or_differ_as_listed_are_right(every):
    assert every.wrong([_one("plain", 10, 10), _one("split10", 12, 10, multiply_sum=2)]) == []


def test_whatever_else_differs_is_named(every):
    results = [
        _one("more", 12, 10),
        _one("unlisted", 12, 10, multiply_sum=2),
        _one("split10", 10, 10),
        _one("split20", 13, 10, multiply_sum=2),
        {"model": "broken", "failed": "Invalid: cannot count"},
        {"model": "alone", "flops": 10, "operators": {"conv": 10}, "torch_failed": "RuntimeError: no"},
    ]
    assert every.wrong(results) == [
        "more: 12 is not torch's 10",
        "unlisted: differs and is not listed",
        "split10: is listed and does not differ",
        "split20: 11 is not torch's 10",
        "broken: Invalid: cannot count",
        "alone: torch's counter fails: RuntimeError: no",
    ]


def test_a_model_is_counted_by_both_and_the_reasons_listed_are_of_models_that_exist(script):
    every = script("every_timm_model")
    said = every.count("resnet18")
    assert (said["flops"], said["torch"], said["image"]) == (1_814_073_344, 1_814_073_344, 224)
    family = every.families()
    assert all(every.wanted([pattern], family) for pattern in every.DIFFERS)
    firsts = every.wanted([], family)
    assert (len(firsts), len({family[name] for name in firsts})) == (len(set(family.values())),) * 2
