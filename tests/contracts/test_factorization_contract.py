"""What every factorization owes, whichever it is; a new one is held to it by being registered."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import FACTORIZATIONS, decompose
from core.compression.factorization.svd import decompose as plain_svd
from core.compression.layer_statistics import LayerStatistics
from core.errors import NumericalError
from core.recipe.methods import METHOD_CONFIGS, FwsvdConfig, LpafConfig, MethodConfig, SvdConfig
from core.recipe.statistics import Statistic
from tests.compression.factorization.problems import SHAPES, Problem, make_problem, only

SIDES = [FwsvdConfig(sides="output"), FwsvdConfig(sides="both")]
WEIGHTS = [LpafConfig(weights="scores"), LpafConfig(weights="fisher")]
CONFIGS: list[MethodConfig] = [
    *(config() for config in METHOD_CONFIGS.values()),
    *SIDES,
    *WEIGHTS,
]

each_config = pytest.mark.parametrize(
    "config",
    CONFIGS,
    ids=lambda config: "-".join(
        [
            config.type,
            *(getattr(config, name) for name in ("sides", "weights") if hasattr(config, name)),
        ]
    ),
)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def decomposed(problem: Problem, config: MethodConfig) -> Decomposition:
    """With what the method asks for and nothing else."""
    needed = config.required_statistics(*problem.weight.shape)
    return decompose("layer", problem.weight, only(problem.statistics, needed), config)


def errors(decomposition: Decomposition) -> list[float]:
    ranks = range(1, decomposition.full_rank + 1)
    return [decomposition.relative_error(decomposition.truncate(rank)) for rank in ranks]


def test_every_method_has_its_factorization() -> None:
    assert METHOD_CONFIGS.keys() == FACTORIZATIONS.keys()


@each_config
@each_shape
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_keeps_dtype_and_shape(
    config: MethodConfig, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    decomposition = decomposed(make_problem(*shape, dtype=dtype), config)
    factors = decomposition.truncate(3)
    assert factors.outer.dtype == factors.inner.dtype == dtype
    assert (factors.outer.shape, factors.inner.shape) == ((shape[0], 3), (3, shape[1]))
    assert decomposition.full_rank == min(shape)


@each_config
@each_shape
def test_full_rank_is_the_weight(config: MethodConfig, shape: tuple[int, int]) -> None:
    problem = make_problem(*shape)
    product = decomposed(problem, config).truncate(min(shape)).product()
    torch.testing.assert_close(product, problem.weight, atol=1e-9, rtol=0)


@each_config
@each_shape
def test_more_rank_is_never_worse(config: MethodConfig, shape: tuple[int, int]) -> None:
    decomposition = decomposed(make_problem(*shape), config)
    by_rank = np.array(errors(decomposition))
    assert (np.diff(by_rank) < 1e-9).all()
    assert by_rank[0] < 1
    assert by_rank[-1] < 1e-7
    spectrum = decomposition.spectrum
    assert (np.diff(spectrum.squared_singular_values) <= 0).all()
    if type(config).loss_unit:
        assert spectrum.predicted_increase is not None
        assert (np.diff(spectrum.predicted_increase) <= 0).all()


@each_config
@each_shape
def test_spectrum_is_the_error(config: MethodConfig, shape: tuple[int, int]) -> None:
    decomposition = decomposed(make_problem(*shape), config)
    if not type(config).nested:
        assert_bounded(decomposition)
        return
    energy = decomposition.spectrum.squared_singular_values
    expected = [(energy[k:].sum() / energy.sum()) ** 0.5 for k in range(1, len(energy) + 1)]
    np.testing.assert_allclose(errors(decomposition), expected, atol=1e-7)


def assert_bounded(decomposition: Decomposition) -> None:
    """Each rank's own factors cost no more than was predicted, and not none of it."""
    increase = decomposition.spectrum.predicted_increase
    assert increase is not None
    bounds = (increase[1:] / increase[0]) ** 0.5
    assert (np.array(errors(decomposition)) <= bounds + 1e-9).all()
    assert errors(decomposition)[0] > bounds[0] / 2


@each_config
@each_shape
def test_no_worse_in_its_own_norm_than_plain_svd(
    config: MethodConfig, shape: tuple[int, int]
) -> None:
    problem = make_problem(*shape)
    own, plain = decomposed(problem, config), plain_svd(problem.weight, None, SvdConfig())
    for rank in range(1, min(shape) + 1):
        error = own.relative_error(own.truncate(rank))
        assert error <= own.relative_error(plain.truncate(rank)) + 1e-8


@each_config
@each_shape
def test_identity_weighting_is_truncated_svd(config: MethodConfig, shape: tuple[int, int]) -> None:
    weight = make_problem(*shape).weight
    plain = plain_svd(weight, None, SvdConfig())
    identity = decompose("layer", weight, identity_statistics(weight), config)
    for rank in range(1, min(shape) + 1):
        torch.testing.assert_close(
            identity.truncate(rank).product(), plain.truncate(rank).product(), atol=1e-10, rtol=0
        )


def identity_statistics(weight: Tensor) -> LayerStatistics:
    """A, G and F as if all inputs and gradients were white, about a mean of zero."""
    out_features, in_features = weight.shape
    sums = {
        Statistic.INPUT_GRAM: torch.eye(in_features).double(),
        Statistic.OUTPUT_GRAD_GRAM: torch.eye(out_features).double(),
        Statistic.OUTPUT_GRAM: weight @ weight.T,
        Statistic.INPUT_GRAD_GRAM: weight.T @ weight,
        Statistic.FISHER: torch.ones(out_features, in_features).double(),
        Statistic.FISHER_IN: torch.full((in_features,), out_features, dtype=torch.float64),
        Statistic.FISHER_OUT: torch.full((out_features,), in_features, dtype=torch.float64),
        Statistic.INPUT_SUM: torch.zeros(in_features).double(),
        Statistic.INPUT_ABS_SUM: torch.ones(in_features).double(),
    }
    traces = {
        Statistic.INPUT_GRAM: float(in_features),
        Statistic.OUTPUT_GRAD_GRAM: float(out_features),
    }
    return LayerStatistics(sums, 1, 1, traces)


def degenerate(shape: tuple[int, int]) -> Iterator[tuple[str, Problem]]:
    problem = make_problem(*shape)
    weight, x, delta = problem.weight, problem.x, problem.delta
    alive_in, alive_out = torch.ones_like(x[:1]), torch.ones_like(delta[:1])
    alive_in[:, ::2], alive_out[:, 1::2] = 0, 0
    yield "zero weight", Problem(torch.zeros_like(weight), x, delta)
    yield "constant weight", Problem(torch.full_like(weight, 0.5), x, delta)
    yield "rank-deficient weight", Problem(weight[:, :2] @ weight[:2], x, delta)
    yield "dead inputs", Problem(weight, x * alive_in, delta)
    yield "dead outputs", Problem(weight, x, delta * alive_out)
    yield "no inputs", Problem(weight, x * 0, delta)
    yield "no gradients", Problem(weight, x, delta * 0)
    yield "one token", Problem(weight, x[:1], delta[:1])
    yield "huge and tiny", Problem(weight * 1e6, x * 1e8, delta * 1e-12)


@each_config
@each_shape
def test_degenerate_layers_survive(config: MethodConfig, shape: tuple[int, int]) -> None:
    for name, problem in degenerate(shape):
        decomposition = decomposed(problem, config)
        for rank in range(1, min(shape) + 1):
            assert torch.isfinite(decomposition.truncate(rank).product()).all(), name
        by_rank = np.array(errors(decomposition))
        assert (np.diff(by_rank) < 1e-6).all(), name
        assert by_rank[-1] < 1e-6, name
        assert np.isfinite(decomposition.spectrum.squared_singular_values).all(), name


@each_config
@each_shape
def test_same_bits_twice(config: MethodConfig, shape: tuple[int, int]) -> None:
    problem = make_problem(*shape, dtype=torch.float32)
    first, second = (decomposed(problem, config).truncate(4) for _ in range(2))
    assert torch.equal(first.outer, second.outer)
    assert torch.equal(first.inner, second.inner)


@each_config
def test_factors_are_balanced(config: MethodConfig) -> None:
    factors = decomposed(make_problem(6, 9), config).truncate(6)
    torch.testing.assert_close(factors.outer.norm(dim=0), factors.inner.norm(dim=1))


@each_config
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_failed_solve_names_the_layer(config: MethodConfig, value: float) -> None:
    problem = make_problem(6, 9)
    problem.weight[2, 3] = value
    with pytest.raises(NumericalError, match=r"encoder\.0\.query"):
        decompose("encoder.0.query", problem.weight, problem.statistics, config)


@each_config
@pytest.mark.parametrize("rank", [0, 7])
def test_a_rank_out_of_range_is_refused(config: MethodConfig, rank: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.6"):
        decomposed(make_problem(6, 9), config).truncate(rank)
