"""Gates on tables: what trips, what is counted, and JUnit XML that a parser of its own reads back."""

import math
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import UserError
from reports import check
from reports.check import Change, Finding, Gate
from reports.table import Cell, ClaimCell, Column, Row, Table

USUAL = check.gate("deviates,failed")


def claimed(verdict, *, value=None, printed="29M", state="measured", reason=None, **facts):
    claim = ClaimCell(printed=printed, source="Table 1", verdict=verdict, **facts)
    return Cell(state=state, value=value, unit="parameters", reason=reason, claims=(claim,))


def table(**cells):
    """One column of parameters, one row a cell."""
    return Table(
        study="small",
        title="t",
        columns=(Column(name="params", label="params", unit="parameters", quantity="params"),),
        rows=tuple(Row(row=name, label=name.upper(), cells={"params": cell}) for name, cell in cells.items()),
    )


def measured(value, std=None, n=None):
    return Cell(state="measured", value=value, std=std, n=n, unit="parameters")


EVERY = {
    "same": claimed("reproduced", value=29e6, deviation=0.0),
    "near": claimed("close", value=28.29e6, deviation=-0.0074),
    "told": claimed("explained", value=30e6, deviation=0.02, note="ViT-L/32: 29.10M"),
    "noisy": claimed("within_noise", value=29e6),
    "off": claimed("deviates", value=35e6, deviation=0.1864),
    "other": claimed("not_comparable", value=29e6, note="another image size"),
    "later": claimed("pending", state="pending"),
    "broken": claimed("failed", state="failed", reason="crashed: it broke"),
}


def test_a_gate_names_verdicts_and_changes():
    assert check.gate("deviates, not comparable,throughput:-5%,flops:+0.5") == Gate(
        verdicts=("deviates", "not_comparable"),
        changes=(Change(quantity="throughput", percent=-5.0), Change(quantity="flops", percent=0.5)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deviate", "no verdict 'deviate'; nearest: 'deviates'"),
        ("throughput:5%", "gate 'throughput:5%': a change is QUANTITY:-5% or QUANTITY:+5%"),
        ("throughput:", "gate 'throughput:'"),
        ("", "gate '' names nothing"),
        (" , ", "names nothing"),
    ],
)
def test_a_gate_that_could_not_trip_is_refused(text, said):
    with pytest.raises(UserError) as raised:
        check.gate(text)
    assert said in str(raised.value)


def test_a_change_needs_another_store():
    with pytest.raises(UserError, match=r"gate params:-5%: a change is seen against another store only"):
        check.claims(table(**EVERY), check.gate("params:-5%"))


def test_every_claim_is_a_finding_and_the_gate_trips_what_it_names():
    findings = check.claims(table(**EVERY), USUAL)
    assert [(finding.row, finding.verdict) for finding in findings] == [
        (name, cell.claims[0].verdict) for name, cell in EVERY.items()
    ]
    assert [finding.row for finding in findings if finding.tripped] == ["off", "broken"]
    assert [finding.row for finding in check.claims(table(**EVERY), check.gate("pending")) if finding.tripped] == [
        "later"
    ]


def test_a_finding_is_one_sentence():
    said = {finding.row: finding.sentence for finding in check.claims(table(**EVERY), USUAL)}
    assert said["near"] == "small near params: 28.29M against 29M (Table 1): close, −0.7 %"
    assert said["told"] == "small told params: 30.00M against 29M (Table 1): explained, +2.0 %: ViT-L/32: 29.10M"
    assert said["other"] == "small other params: 29.00M against 29M (Table 1): not comparable: another image size"
    assert said["broken"] == "small broken params: no number against 29M (Table 1): failed: crashed: it broke"


def test_only_the_named_columns_are_checked():
    assert check.claims(table(**EVERY), USUAL, columns=["flops"]) == []
    assert len(check.claims(table(**EVERY), USUAL, columns=["params"])) == len(EVERY)


def test_two_claims_of_one_cell_are_two_findings():
    cell = claimed("close", value=28.29e6)
    both = msgspec.structs.replace(cell, claims=(*cell.claims, *claimed("reproduced", printed="28M").claims))
    assert [finding.printed for finding in check.claims(table(one=both), USUAL)] == ["29M", "28M"]


def test_the_tally_counts_what_was_compared_and_what_was_not():
    assert check.tally(check.claims(table(**EVERY), USUAL)) == (
        "compared 5 of 8 claims · 1 reproduced · 1 within noise · 1 close · 1 explained · 1 deviates · 1 failed · "
        "1 pending · 1 not comparable"
    )
    assert check.tally([]) == "compared 0 of 0 claims"
    assert check.compared(check.claims(table(**EVERY), USUAL)) == 5


def changes(now, then, gate="changed,failed"):
    return check.changes(table(**now), table(**then), check.gate(gate))


def test_equal_values_are_reproduced_and_others_changed():
    same, other = changes(
        {"a": measured(10.0), "b": measured(11.0)},
        {"a": measured(10.0), "b": measured(10.0)},
    )
    assert (same.verdict, same.tripped, same.deviation) == ("reproduced", False, None)
    assert (other.verdict, other.tripped, other.deviation) == ("changed", True, pytest.approx(0.1))
    assert other.sentence == "small b params: 11 against 10 (baseline): changed, +10.0 %"
    assert check.tally([same, other]) == "compared 2 of 2 values · 1 reproduced · 1 changed"


def test_counts_that_would_look_alike_are_told_in_full():
    (finding,) = changes({"a": measured(28_288_354.0)}, {"a": measured(28_288_355.0)})
    assert finding.sentence == "small a params: 28,288,354 against 28,288,355 (baseline): changed"


def test_what_changed_deviates_from_what_it_was():
    (finding,) = changes({"a": measured(11.0)}, {"a": measured(10.0)}, gate="deviates,failed")
    assert finding.tripped


@pytest.mark.parametrize(("percent", "trips"), [("-5%", [True, False, False]), ("+5%", [False, False, True])])
def test_a_change_trips_in_its_direction_only(percent, trips):
    now = {"a": measured(90.0), "b": measured(98.0), "c": measured(110.0)}
    found = changes(now, dict.fromkeys(now, measured(100.0)), gate=f"params:{percent}")
    assert [finding.tripped for finding in found] == trips
    assert [finding.note is not None for finding in found] == trips


def test_a_change_from_zero_trips_and_leaves_no_number_that_json_lacks():
    (finding,) = changes({"a": measured(3.0)}, {"a": measured(0.0)}, gate="params:+5%")
    assert (finding.tripped, finding.deviation) == (True, None)
    assert (finding.verdict, finding.note) == ("changed", "changed by +inf %, gate +5 %")


def test_a_difference_is_noise_within_welchs_interval():
    now, then = [92.0, 93.0, 94.5], [93.0, 95.0, 94.0, 96.0]
    engine = stats.ttest_ind(now, then, equal_var=False)
    assert engine.pvalue > 0.05
    cells = [measured(sum(v) / len(v), stats.tstd(v), len(v)) for v in (now, then)]
    (finding,) = changes({"a": cells[0]}, {"a": cells[1]})
    assert finding.verdict == "within_noise"
    shifted = [value + 3 for value in then]
    assert stats.ttest_ind(now, shifted, equal_var=False).pvalue < 0.05
    far = measured(cells[1].value + 3, cells[1].std, cells[1].n)
    (finding,) = changes({"a": cells[0]}, {"a": far})
    assert finding.verdict == "changed"


def test_single_values_have_no_noise_to_hide_in():
    (finding,) = changes({"a": measured(92.0, n=1)}, {"a": measured(92.1, n=1)})
    assert finding.verdict == "changed"


@pytest.mark.parametrize(
    ("state", "verdict"),
    [("failed", "failed"), ("invalid", "failed"), ("conflict", "failed"), ("not_applicable", "failed"),
     ("pending", "pending"), ("running", "pending"), ("needs", "pending")],
)  # fmt: skip
def test_a_number_that_is_there_no_more_is_seen(state, verdict):
    (finding,) = changes({"a": Cell(state=state, reason="why")}, {"a": measured(10.0)})
    assert (finding.verdict, finding.measured, finding.note) == (verdict, None, "why")
    assert finding.tripped == (verdict == "failed")


def test_a_row_that_is_gone_failed():
    (finding,) = changes({"other": measured(10.0)}, {"a": measured(10.0)})
    assert (finding.row, finding.verdict, finding.tripped) == ("a", "failed", True)
    assert finding.note == "the table has no such cell any more"


def test_what_the_other_store_does_not_have_is_not_compared():
    assert changes({"a": measured(10.0)}, {"a": Cell(state="pending")}) == []


def test_junit_is_read_back_by_a_parser():
    findings = check.claims(table(**EVERY), USUAL)
    (suite,) = ElementTree.fromstring(check.junit(findings))
    assert suite.attrib == {"name": "small", "tests": "8", "failures": "2", "skipped": "2"}
    cases = {case.attrib["name"].split()[0]: case for case in suite}
    assert list(cases) == list(EVERY)
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {"off", "broken"}
    assert {name for name, case in cases.items() if case.find("skipped") is not None} == {"other", "later"}
    failure = cases["off"].find("failure")
    assert failure.attrib == {"message": findings[4].sentence, "type": "deviates"}
    assert cases["same"].attrib == {"classname": "small", "name": "same params 29M"}


def test_a_failure_that_trips_nothing_is_no_success_in_junit():
    (suite,) = ElementTree.fromstring(check.junit(check.claims(table(**EVERY), check.gate("deviates"))))
    assert suite.attrib["skipped"] == "3"


@given(st.text())
def test_junit_is_xml_whatever_a_failure_says(text):
    finding = Finding(
        study="s", row=text, label=text, column="c", verdict="failed", printed=text, note=text, tripped=True
    )
    (suite,) = ElementTree.fromstring(check.junit([finding]))
    assert suite.find("testcase/failure").attrib["type"] == "failed"


def test_a_deviation_is_finite_or_absent():
    found = changes({"a": measured(-3.0)}, {"a": measured(-2.0)})
    assert found[0].deviation == pytest.approx(-0.5)
    assert all(finding.deviation is None or math.isfinite(finding.deviation) for finding in found)


def times(**seconds):
    """One column of throughputs in images/s, one row a model."""
    rows = {
        name: msgspec.structs.replace(measured(value), unit="images/s") if isinstance(value, float) else value
        for name, value in seconds.items()
    }
    return msgspec.structs.replace(
        table(**rows), columns=(Column(name="params", label="throughput", unit="images/s", quantity="throughput"),)
    )


def timed(now, then, gate="changed"):
    found = check.changes(times(**now), times(**then), check.gate(gate))
    return [(finding.row, finding.verdict, finding.tripped) for finding in found]


def test_times_compare_as_ratios_so_that_a_slower_machine_is_no_change():
    now, then = {"a": 50.0, "b": 101.0, "c": 80.0}, {"a": 100.0, "b": 200.0, "c": 200.0}
    assert timed(now, then) == [
        ("a", "not_comparable", False),  # the others are held against it
        ("b", "within_noise", False),  # 1 % of a ratio
        ("c", "changed", True),
    ]


def test_a_gate_on_a_time_is_on_its_ratio():
    now, then = {"a": 50.0, "b": 90.0, "c": 110.0}, {"a": 50.0, "b": 100.0, "c": 100.0}
    assert [tripped for _, _, tripped in timed(now, then, "throughput:-5%")] == [False, True, False]


def test_times_hold_their_own_spread_against_each_other():
    def spread(value):
        return Cell(state="measured", value=value, std=10.0, n=4, unit="images/s")

    (_, (_, verdict, _)) = timed({"a": 100.0, "b": spread(110.0)}, {"a": 100.0, "b": spread(100.0)})
    assert verdict == "within_noise"
    (_, (_, verdict, _)) = timed({"a": 100.0, "b": spread(160.0)}, {"a": 100.0, "b": spread(100.0)})
    assert verdict == "changed"


def test_a_time_that_stands_alone_or_is_gone_is_not_compared():
    assert timed({"a": 50.0}, {"a": 100.0}) == [("a", "not_comparable", False)]
    assert timed({"b": 50.0}, {"a": 100.0, "b": 50.0}) == [("a", "failed", False), ("b", "not_comparable", False)]


def test_the_tally_says_how_many_deviate_with_words_alone():
    told = claimed("deviates", value=35e6, deviation=0.1, note="an older version")
    findings = check.claims(table(off=EVERY["off"], told=told), USUAL)
    assert check.tally(findings) == "compared 2 of 2 claims · 2 deviates (1 with prose alone)"
