"""Every count that the papers print, counted again: what `vitab run --all` and `vitab check --all` are for."""

from collections import Counter

PRINTED = {"swin_imagenet": 48, "dino_imagenet": 25, "attention_variations": 11, "lrnet50": 4, "vit_variants": 3}
"""Cells of the classification tables that hold parameters or FLOPs."""


def test_every_count_of_the_papers_has_a_verdict_and_one_deviates(call):
    assert call("run", "--all", "--columns", "params,flops").code == 0
    assert call("check", "--all", "--columns", "params,flops").code == 1
    claims = call("check", "--all", "--columns", "params,flops", "--json").json["claims"]
    cells = {
        (claim["study"], claim["row"], claim["column"]): claim
        for claim in reversed(claims)
        if claim["study"] in PRINTED
    }
    assert Counter(study for study, _, _ in cells) == PRINTED
    assert Counter(claim["verdict"] for claim in cells.values()) == {
        "reproduced": 54,
        "close": 13,
        "explained": 23,
        "deviates": 1,
    }
    deviating = {
        (claim["row"], claim["printed"], claim["measured"]) for claim in claims if claim["verdict"] == "deviates"
    }
    assert deviating == {("resnet50", "4.3G", "4.09G")}
