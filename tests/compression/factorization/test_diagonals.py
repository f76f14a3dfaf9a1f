"""Layers with both sides over the limit for Grams, against optima computed densely in float64."""

import pytest
import torch
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.recipe import statistics as module
from core.recipe.methods import (
    AsvdConfig,
    BolacoConfig,
    KfacConfig,
    MethodConfig,
    SvdConfig,
    SvdLlmConfig,
)
from core.recipe.statistics import Statistic, keeps_diagonals, one_sided, two_sided
from tests.compression.factorization.problems import SHAPES, Problem, make_problem

CONFIGS: list[MethodConfig] = [
    KfacConfig(output_damping=0),
    KfacConfig(input_damping=0.2, output_damping=0.3),
    SvdLlmConfig(),
    SvdLlmConfig(input_damping=0.2),
    SvdConfig(),
    AsvdConfig(),
    BolacoConfig(),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=str)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def diagonals(problem: Problem) -> LayerStatistics:
    """What the pass keeps of such a layer."""
    whole = problem.statistics
    kept = (Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM)
    by_feature = (Statistic.INPUT_SUM, Statistic.INPUT_ABS_SUM)
    sums = {name: whole[name].diagonal().clone() for name in kept}
    sums |= {name: whole[name] for name in by_feature}
    return LayerStatistics(sums, whole.examples, whole.tokens, whole.traces)


def weights(problem: Problem, config: MethodConfig) -> tuple[Tensor, Tensor]:
    """g² and a² of the norm that the method minimizes."""

    def damped(diagonal: Tensor, damping: float) -> Tensor:
        return diagonal + damping * diagonal.mean()

    g, a = problem.g.diagonal(), problem.a.diagonal()
    ones = torch.ones_like
    if isinstance(config, SvdConfig):
        return ones(g), ones(a)
    if isinstance(config, AsvdConfig):
        return ones(g), problem.x.abs().mean(0)
    if isinstance(config, BolacoConfig):
        return ones(g), problem.x.var(0, correction=0) * len(problem.x)
    assert isinstance(config, SvdLlmConfig | KfacConfig)
    a = damped(a, config.input_damping)
    return (damped(g, config.output_damping), a) if isinstance(config, KfacConfig) else (ones(g), a)


def error(problem: Problem, found: Decomposition, rank: int) -> Tensor:
    return problem.weight - found.truncate(rank).product()


@each_config
@each_shape
def test_every_rank_is_the_optimum(config: MethodConfig, shape: tuple[int, int]) -> None:
    problem = make_problem(*shape)
    found = decompose("layer", problem.weight, diagonals(problem), config)
    g, a = weights(problem, config)
    best = torch.linalg.svdvals(g.sqrt()[:, None] * problem.weight * a.sqrt()).square()
    scale = float(best.sum())
    for rank in range(1, found.full_rank + 1):
        lost = float((g[:, None] * error(problem, found, rank).square() * a).sum())
        assert lost == pytest.approx(float(best[rank:].sum()), abs=1e-10 * scale)
        assert found.relative_error(found.truncate(rank)) ** 2 * scale == pytest.approx(
            lost, abs=1e-10 * scale
        )


@each_config
@each_shape
def test_the_predicted_increase_is_the_truncations_own(
    config: MethodConfig, shape: tuple[int, int]
) -> None:
    """In the (damped, for kfac) two-sided metric, over 2NT."""
    problem = make_problem(*shape)
    found = decompose("layer", problem.weight, diagonals(problem), config)
    g, a = problem.g.diagonal(), problem.a.diagonal()
    if isinstance(config, KfacConfig):
        g, a = weights(problem, config)
    if isinstance(config, SvdLlmConfig | BolacoConfig):
        a = weights(problem, config)[1]
    increase = found.spectrum.predicted_increase
    assert increase is not None
    n = len(problem.x)
    for rank in range(1, found.full_rank + 1):
        cost = float((g[:, None] * error(problem, found, rank).square() * a).sum()) / (2 * n * n)
        assert float(increase[rank]) == pytest.approx(cost, abs=1e-10 * float(increase[0]))


def test_what_is_asked_of_a_layer_turns_with_its_smaller_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert module.LARGEST_GRAM_SIDE == 8192
    monkeypatch.setattr(module, "LARGEST_GRAM_SIDE", 10)
    both = frozenset({Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM})
    assert two_sided(11, 12) == two_sided(12, 11) == both
    assert two_sided(10, 12) == {Statistic.OUTPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM}
    assert two_sided(12, 10) == {Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM}
    assert one_sided(11, 12) == one_sided(12, 11) == one_sided(12, 10) == {Statistic.INPUT_GRAM}
    assert one_sided(10, 12) == {Statistic.OUTPUT_GRAM}
    assert keeps_diagonals(11, 12)
    assert not keeps_diagonals(10, 12)
