from bench.conflict import Conflict, conflicts
from bench.record import Failure, Quantity, Record
from bench.trial import Input, Model, Trial


def _record(value=None, *, unit="%", bound=None, environment=None, failure=None):
    quantity = {} if value is None else {"top1": Quantity(samples=(value,), unit=unit, better="higher")}
    return Record(
        key="k",
        measure="top1",
        version=1,
        attempt="a",
        time="2026-01-01",
        seconds=1.0,
        trial=Trial(model=Model(name="vit"), input=Input(image=8)),
        quantities=quantity,
        failure=failure,
        bound=bound or {},
        environment=environment or {},
    )


def test_equal_values_and_float_noise_are_no_conflict():
    assert conflicts((_record(93.5), _record(93.5), _record(93.5 * (1 + 1e-8)))) == ()


def test_a_disagreement_names_the_facts_that_differ():
    old = _record(93.5, bound={"data": "abc"}, environment={"host": "one", "libraries": {"torch": "2.11.0"}})
    new = _record(91.0, bound={"data": "abc"}, environment={"host": "one", "libraries": {"torch": "2.14.1"}})
    assert conflicts((old, old, new)) == (Conflict(quantity="top1", values=(93.5, 91.0), facts=("libraries.torch",)),)


def test_a_disagreement_that_nothing_explains_has_no_facts():
    assert conflicts((_record(93.5), _record(91.0))) == (Conflict(quantity="top1", values=(93.5, 91.0), facts=()),)


def test_a_failure_disagrees_with_nothing():
    assert conflicts((_record(93.5), _record(failure=Failure(kind="crashed", reason="ValueError: no")))) == ()


def test_clocks_are_expected_to_differ():
    assert conflicts((_record(100.0, unit="images/s"), _record(120.0, unit="images/s"))) == ()


def test_another_unit_is_a_conflict_whatever_the_value():
    assert len(conflicts((_record(1.0, unit="%"), _record(1.0, unit="bytes")))) == 1
