"""Whole tables of effects that are known because they were put there: an inert level, and one that matters.

A level that only has another name is drawn like the base; one that matters is six points below it. Each value is the
share of 445 images that a model gets right, whose chance of each varies from seed to seed and from row to row.
"""

import dataclasses

import numpy as np

from bench.store import Store

IMAGES = 445
TABLES = 100
CHANCES = {"learned": 0.94, "none": 0.94, "rope": 0.88}
SPEC = """
design: {one_factor: {model.pos_embed: [none, rope]}}
columns: [top1]
seeds: %d
"""


def draws(random, seeds):
    """Row → accuracies in percent, by seed."""
    shared = random.normal(0, 0.008, seeds)
    chances = {row: np.clip(chance + shared + random.normal(0, 0.006, seeds), 0, 1) for row, chance in CHANCES.items()}
    return {row: 100 * random.binomial(IMAGES, chance) / IMAGES for row, chance in chances.items()}


def tables(laboratory, folder, seeds):
    """Cells of the one column, by row, of many tables of one study."""
    empty, random = laboratory(SPEC % seeds), np.random.default_rng(2026)
    for number in range(TABLES):
        filled = dataclasses.replace(empty, store=Store(folder / str(number)))
        for row, values in draws(random, seeds).items():
            filled.measured(row, "top1", *values)
        yield {row.row: row.cells["top1"] for row in filled.table().rows}


def test_an_inert_level_is_called_a_tie_and_a_real_one_is_found(laboratory, tmp_path):
    all_tables = list(tables(laboratory, tmp_path, seeds=5))
    assert len(all_tables) == TABLES
    assert sum(cells["learned"].bold and cells["none"].bold for cells in all_tables) >= 95
    assert sum(not cells["rope"].bold for cells in all_tables) >= 95
    differences = {row: [cells[row].difference for cells in all_tables] for row in ("none", "rope")}
    assert sum(one.value + one.half_width < 0 for one in differences["rope"]) >= 95
    # the interval beside the base is one of 95 %: by chance 88 or fewer of 100 hold the truth once in 250 times
    assert sum(abs(one.value) <= one.half_width for one in differences["none"]) > 88


def test_nothing_is_told_apart_by_one_seed_or_two(laboratory, tmp_path):
    for seeds in (1, 2):
        cells = [cell for table in tables(laboratory, tmp_path / str(seeds), seeds) for cell in table.values()]
        assert len(cells) == TABLES * len(CHANCES)
        assert not any(cell.bold for cell in cells)
