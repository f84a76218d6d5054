import pytest

from bench.errors import UserError
from reports.claims import Claim, Explain, Source, claims

SWIN = Source(paper="Swin, ICCV 2021", table="Table 1")


def test_a_row_reports_texts_and_several_may_stand_side_by_side():
    made = claims({"params": "29M", "flops": ["4.5G", "4.49G"]}, SWIN, protocol={"flops": {"image": 224}})
    assert made == {
        "params": (Claim(quantity="params", printed="29M", source=SWIN),),
        "flops": (
            Claim(quantity="flops", printed="4.5G", source=SWIN, protocol={"image": 224}),
            Claim(quantity="flops", printed="4.49G", source=SWIN, protocol={"image": 224}),
        ),
    }


def test_a_source_says_where_to_look():
    assert str(SWIN) == "Swin, ICCV 2021, Table 1"
    assert str(Source(paper="README")) == "README"


def test_a_paper_that_cuts_off_says_so_for_its_quantity():
    made = claims({"params": "23M", "top1": "74.5"}, SWIN, truncated=["params"])
    assert made["params"][0].numbers[0].high == 24e6
    assert made["top1"][0].numbers[0].high == 74.55


def test_a_copied_number_is_read_in_base_units():
    explain = {"flops": Explain(note="EfficientNet, Table 2", copied="37B")}
    assert claims({"flops": "37.0G"}, SWIN, explain=explain)["flops"][0].copied == 37e9


@pytest.mark.parametrize(
    ("reported", "explain", "line"),
    [
        ({"params": "29m"}, {}, "'29m' is no printed number"),
        (
            {"params": "29M"},
            {"flops": Explain(note="x", copied="1G")},
            "'flops' is explained but not reported; reported: params",
        ),
        ({"params": "29M"}, {"params": Explain(note="it is so")}, "a note alone explains nothing"),
        ({"params": "29M"}, {"params": Explain(note="x", copied="29M", quantity="flops")}, "must name one computation"),
        ({"params": "29M"}, {"params": Explain(note="x", copied="–")}, "copies no number: '–'"),
    ],
)
def test_a_claim_that_cannot_be_is_one_line_before_anything_runs(reported, explain, line):
    with pytest.raises(UserError) as raised:
        claims(reported, SWIN, explain=explain)
    assert line in str(raised.value)
