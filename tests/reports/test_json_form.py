"""JSON, format 1: what programs may rely on."""

import json

import msgspec
import pytest

from reports.render import render
from reports.table import Cell


def test_json_keeps_its_contract(paper):
    said = json.loads(render(paper, "json"))
    assert (said["study"], said["format"]) == ("swin_imagenet", 1)
    assert said["columns"][0] == {"name": "params", "label": "params", "unit": "parameters", "better": "lower"}
    cells = said["rows"][0]["cells"]
    assert cells["params"] == {
        "state": "measured",
        "value": 28288354,
        "samples": [28288354],
        "unit": "parameters",
        "claims": [
            {"printed": "29M", "source": "ICCV 2021, Table 1", "verdict": "close", "deviation": -0.0074},
            {"printed": "28M", "source": "Swin repository, README", "verdict": "reproduced", "deviation": 0.0},
        ],
    }
    assert cells["throughput"] == {
        "state": "pending",
        "unit": "images/s",
        "claims": [{"printed": "755.2", "source": "ICCV 2021, Table 1", "verdict": "pending"}],
    }


def test_json_has_no_number_that_is_none(ablation):
    broken = msgspec.structs.replace(
        ablation,
        rows=(msgspec.structs.replace(ablation.rows[0], cells={"top1": Cell(state="measured", value=float("nan"))}),),
    )
    with pytest.raises(ValueError, match="NaN"):
        render(broken, "json")
