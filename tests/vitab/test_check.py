"""`vitab check` from a spec and a store to its lines, its JSON and its exit code."""

from bench.store import Store

CLAIM = 'top1: {"2": "90"}'


def test_one_training_far_from_what_was_printed_trips_where_the_paper_prints_its_spread(finished, call, study):
    study.write_text(study.read_text().replace(CLAIM, 'top1: {"2": "99.5 ± 0.1"}'))
    said = call("check", "small.yaml", "--columns", "top1", "--seeds", "1")
    assert said.code == 1
    first, tally = said.out.splitlines()
    assert first.startswith("small 2 top1: ")
    assert first.endswith(" (95 %) · gate")
    assert tally == "compared 1 of 1 claim · 1 deviates"


def test_what_is_apart_and_cannot_be_compared_is_listed(finished, call):
    said = call("check", "small.yaml", "--seeds", "1", "--gate", "failed")
    (apart,) = [line for line in said.out.splitlines() if " top1: " in line]
    assert apart.endswith(": one value of unknown noise")


def test_a_gate_on_a_change_of_what_no_table_has_is_refused(finished, call):
    for options, said in (
        ("--gate throughput:-5%", "gate throughput:-5%: no quantity 'throughput'; allowed: flops, params, top1\n"),
        ("--gate parms:+5%", "gate parms:+5%: no quantity 'parms'; nearest: 'params'\n"),
        ("--gate flops:+5% --columns params", "gate flops:+5%: no quantity 'flops'; allowed: params\n"),
    ):
        answer = call("check", "small.yaml", "--against", "runs", *options.split())
        assert (answer.code, answer.err) == (2, said)
    assert call("check", "small.yaml", "--against", "runs", "--gate", "flops:+5%").code == 0


def test_machines_are_told_the_number_and_its_unit(finished, call):
    (record,) = [one for one in Store("runs").read().records.values() if one.measure == "params"][:1]
    told = {
        one["row"]: one for one in call("check", "small.yaml", "--json").json["claims"] if one["column"] == "params"
    }
    assert (told["4"]["measured"], told["4"]["unit"]) == ("3.9k", "parameters")
    assert {one["value"] for one in told.values()} >= {record.quantities["params"].samples[0]}
    unmeasured = call("check", "small.yaml", "--json", "--store", "nowhere").json["claims"]
    assert {(one["measured"], one["value"], one["verdict"]) for one in unmeasured} == {(None, None, "pending")}


def test_a_study_that_is_named_and_compares_nothing_fails_beside_one_that_does(finished, call, study):
    study.with_name("silent.yaml").write_text(study.read_text().partition("paper:")[0].replace("small", "silent"))
    said = call("check", "small.yaml", "silent.yaml", "--columns", "params", "--gate", "failed")
    assert (said.code, said.err) == (1, "nothing of silent was compared\n")
