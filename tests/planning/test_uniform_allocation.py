from hypothesis import given
from hypothesis import strategies as st

from core.planning.allocation.uniform import rank_ratio_ranks, uniform_ranks
from core.planning.budgets import floor_params, kept_params, target_params
from core.planning.plan import TargetLayer
from core.recipe.budget import AllocationConfig, UniformAllocation
from tests.planning.problems import bert_base, layers_of, repeatable, shapes

UNIFORM = UniformAllocation()
allocations = st.one_of(
    st.just(UNIFORM),
    st.builds(UniformAllocation, min_rank=st.integers(1, 4), rank_multiple=st.integers(1, 3)),
    st.just(UniformAllocation(keep_dense=("layer.0",))),
)
shape_lists = st.lists(shapes, min_size=1, max_size=5)


def total(layers: tuple[TargetLayer, ...], ranks: dict[str, int | None]) -> int:
    return sum(kept_params(layer, ranks[layer.name]) for layer in layers)


def test_each_layer_has_its_share() -> None:
    layers = layers_of([(384, 384), (1536, 384)])
    ranks = uniform_ranks(layers, UNIFORM, 3 * target_params(layers) // 10)
    assert ranks == {"layer.0": 57, "layer.1": 92}  # 0.3 · 192 = 57.6, 0.3 · 307.2 = 92.16


def test_whole_numbers_are_not_lost_to_rounding() -> None:
    layers = layers_of([(20, 20)] * 36)
    for tenths in range(1, 10):
        ranks = uniform_ranks(layers, UNIFORM, tenths * target_params(layers) // 10)
        assert set(ranks.values()) == {tenths}


def test_everything_stays_dense_at_ratio_one() -> None:
    layers = layers_of([(384, 384), (1536, 384)])
    for allowance in (target_params(layers), 10**12):
        assert set(uniform_ranks(layers, UNIFORM, allowance).values()) == {None}


@repeatable
@given(shape_lists, allocations, st.floats(0, 1.2), st.floats(0, 1.2))
def test_never_over_the_allowance_and_monotone_in_it(
    sizes: list[tuple[int, int]], allocation: AllocationConfig, first: float, second: float
) -> None:
    layers = layers_of(sizes)
    floor = floor_params(layers, allocation)
    spent = []
    for ratio in sorted((first, second)):
        allowance = max(floor, int(ratio * target_params(layers)))
        ranks = uniform_ranks(layers, allocation, allowance)
        spent.append(total(layers, ranks))
        assert floor <= spent[-1] <= allowance
    assert spent[0] <= spent[1]


@repeatable
@given(shape_lists, st.floats(0, 0.99))
def test_above_the_smallest_ranks_it_is_the_formula(
    sizes: list[tuple[int, int]], ratio: float
) -> None:
    layers = layers_of(sizes)
    everything = target_params(layers)
    allowance = max(floor_params(layers, UNIFORM), int(ratio * everything))
    ranks = uniform_ranks(layers, UNIFORM, allowance)
    shares = {
        layer.name: allowance * layer.params // (everything * layer.rank_cost) for layer in layers
    }
    if all(shares.values()) and allowance < everything:
        assert ranks == shares


def test_rank_ratio_gives_the_papers_sizes_of_bert_base() -> None:
    layers = bert_base()
    model = 109_483_778
    for value, millions in ((0.33, 66.5), (0.20, 49.9), (0.10, 37.2)):
        ranks = rank_ratio_ranks(layers, value)
        size = model - target_params(layers) + total(layers, ranks)
        assert round(size / 1e6, 1) == millions


def test_rank_ratio_may_be_larger_than_dense_and_is_at_least_one() -> None:
    layers = layers_of([(4, 6)])
    assert rank_ratio_ranks(layers, 1.0) == {"layer.0": 4}
    assert kept_params(layers[0], 4) > layers[0].params
    assert rank_ratio_ranks(layers, 0.01) == {"layer.0": 1}


def test_rank_ratio_leaves_dense_what_it_is_told_to() -> None:
    layers = layers_of([(8, 8)] * 2)
    assert rank_ratio_ranks(layers, 0.5, ("layer.1",)) == {"layer.0": 4, "layer.1": None}
