from reports.claims import Claim, Explain, Source

SWIN = Source(paper="Swin, ICCV 2021", table="Table 1")


def test_a_source_says_where_to_look():
    assert str(SWIN) == "Swin, ICCV 2021, Table 1"
    assert str(Source(paper="README")) == "README"


def test_a_paper_that_cuts_off_is_read_so():
    assert Claim(printed="23M", source=SWIN).numbers[0].high == 23.5e6
    assert Claim(printed="23M", source=SWIN, printed_by="truncation").numbers[0].high == 24e6
    assert Claim(printed="–", source=SWIN).numbers == ()


def test_a_copied_number_is_read_in_base_units():
    copied = Explain(note="EfficientNet, Table 2", copied="37B")
    assert Claim(printed="37.0G", source=SWIN, explain=copied).copied == 37e9
    assert Claim(printed="37.0G", source=SWIN, explain=Explain(note="without head")).copied is None
