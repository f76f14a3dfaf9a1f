from core.planning.plan import TargetLayer
from core.planning.planner import make_plan
from core.planning.resources import (
    Resources,
    estimate_resources,
    searching_bytes,
    time_class,
)
from tests.planning.problems import layers_of, recipe_with

LAYERS = layers_of([(20, 20), (40, 20), (20, 40)])
MODEL_PARAMS = 4000
UNTRAINED = {"adapt": "never", "finetune": {"type": "none"}}
UNIFORM_SVD = {"method": {"type": "svd"}, "allocation": {"type": "uniform"}}


def resources(rows: int | None = None, **changes: object) -> Resources:
    recipe = recipe_with(**changes)
    return estimate_resources(make_plan(LAYERS, MODEL_PARAMS, recipe, None), recipe, rows)


def test_sizes_and_flops_follow_from_shapes() -> None:
    recipe = recipe_with()
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe, None)
    found = estimate_resources(plan, recipe, None)
    assert found.model_bytes_before == 16_000
    assert found.model_bytes_after == 4 * plan.model_params_after
    assert found.target_flops_per_token_before == 2 * 2000
    assert found.target_flops_per_token_after == 2 * plan.target_params_after
    assert (found.flops, found.time_class) == (None, None)


def test_statistics_are_those_of_the_smaller_side() -> None:
    assert resources().statistics_bytes == 4 * 2 * 3 * 20 * 20
    one_sided = resources(method={"type": "svd_llm"}, allocation={"type": "uniform"})
    assert one_sided.statistics_bytes == 4 * 3 * 20 * 20
    fisher = resources(method={"type": "fwsvd", "sides": "both"})
    assert fisher.statistics_bytes == 4 * (40 + 60 + 60)
    absolute = resources(method={"type": "asvd"}, allocation={"type": "uniform"})
    assert absolute.statistics_bytes == 4 * (20 + 20 + 40)
    assert resources(**UNIFORM_SVD).statistics_bytes == 0


def test_a_gram_over_8192_keeps_its_diagonal() -> None:
    recipe = recipe_with()
    plan = make_plan(layers_of([(9000, 9000)]), 81_000_000, recipe, None)
    assert estimate_resources(plan, recipe, None).statistics_bytes == 4 * 2 * 9000


def test_a_table_that_is_looked_up_multiplies_only_when_factored() -> None:
    """Dense it costs no multiplication; of rank k, k·dim, and k(dim + vocab) more where tied."""
    dim, vocab = 20, 100
    for use, before, after in (("lookup", 0, dim), ("tied", dim * vocab, dim + dim + vocab)):
        recipe = recipe_with(embeddings=True)
        layer = TargetLayer("embedding", dim, vocab, use)
        plan = make_plan([layer], 3000, recipe, None)
        (planned,) = plan.layers
        assert planned.use == use
        assert planned.rank is not None
        found = estimate_resources(plan, recipe, 500)
        assert found.target_flops_per_token_before == 2 * before
        assert found.target_flops_per_token_after == 2 * planned.rank * after
        per_token = dim if use == "lookup" else 2 * dim + vocab
        assert found.activation_bytes == 4 * 32 * 128 * per_token
        assert found.statistics_bytes == 4 * 2 * dim * dim


def test_memory_is_that_of_the_largest_stage() -> None:
    features = 40 + 60 + 60
    per_row = 4 * 128 * features
    assert resources(**UNTRAINED, **UNIFORM_SVD).peak_bytes == 16_000
    taking = resources(**UNTRAINED)
    assert taking.activation_bytes == 32 * per_row
    assert taking.peak_bytes == 16_000 + taking.statistics_bytes + 32 * per_row
    adapting = resources(adaptation={"batch_size": 64, "accumulation": 1})
    assert adapting.peak_bytes == 16 * MODEL_PARAMS + 64 * per_row
    halved = resources(adaptation={"batch_size": 64, "accumulation": 2})
    assert halved.peak_bytes == 16 * MODEL_PARAMS + 32 * per_row


def test_streaming_holds_one_block_and_adds_a_forward_pass() -> None:
    streamed = {"calibration": {"streamed": True}, **UNTRAINED}
    recipe = recipe_with(**streamed)
    layers = tuple(
        TargetLayer(f"layer.{block}.{part}", *shape)
        for block, shapes in enumerate([[(20, 20), (40, 20)], [(20, 40)]])
        for part, shape in enumerate(shapes)
    )
    plan = make_plan(layers, MODEL_PARAMS, recipe, None)
    found = estimate_resources(plan, recipe, 500)
    at_once = estimate_resources(plan, recipe_with(**UNTRAINED), 500)
    assert found.statistics_bytes == at_once.statistics_bytes == 4 * 2 * 3 * 20 * 20
    assert found.activation_bytes == 32 * 4 * 128 * (40 + 60)
    assert found.peak_bytes == 16_000 + 4 * 2 * 2 * 20 * 20 + found.activation_bytes
    assert (found.flops, at_once.flops) == (8 * 2000 * 500 * 128, 6 * 2000 * 500 * 128)


def test_checkpointed_activations_are_every_blocks_input_and_one_block() -> None:
    layers = tuple(
        TargetLayer(f"layer.{block}.{part}", *shape)
        for block in range(3)
        for part, shape in enumerate([(40, 20), (20, 40)])
    )
    training = {"epochs": 2, "batch_size": 16, "gradient_checkpointing": True}
    recomputed = recipe_with(adaptation=training, calibration={}, **UNIFORM_SVD)
    plan = make_plan(layers, MODEL_PARAMS, recomputed, None)
    found = estimate_resources(plan, recomputed, 500)
    assert found.activation_bytes == 16 * 4 * 128 * (3 * 20 + 60 + 60)
    assert found.peak_bytes == 16 * MODEL_PARAMS + found.activation_bytes
    assert found.flops == 8 * 2 * 6 * 800 * 500 * 128


def test_a_refit_has_three_forward_passes_over_its_rows() -> None:
    without = resources(500, **UNTRAINED).flops
    refit = resources(500, refit={"type": "sequential", "rows": 100}, **UNTRAINED).flops
    assert without is not None
    assert refit == without + 6 * 2000 * 100 * 128


def test_every_measured_candidate_is_refitted_in_a_model_of_its_own() -> None:
    refit = {"type": "sequential", "rows": 100}
    search = {"allocation": {"type": "bayesian", "trials": 7, "rows": 50}}
    without = resources(500, **search, **UNTRAINED)
    found = resources(500, refit=refit, **search, **UNTRAINED)
    assert without.flops is not None
    assert found.flops == without.flops + 6 * 2000 * 100 * 128 * (1 + 7)
    recipes = [recipe_with(**search, refit=r) for r in (refit, {"type": "none"})]
    plan = make_plan(LAYERS, MODEL_PARAMS, recipes[0], None)
    refitted, alone = (searching_bytes(plan, recipe) for recipe in recipes)
    assert refitted == alone + 16_000


def test_a_teacher_stands_beside_the_student() -> None:
    plain = resources(adapt="never", finetune={"type": "plain", "batch_size": 256})
    distill = resources(adapt="never", finetune={"type": "distill", "batch_size": 256})
    assert distill.peak_bytes == plain.peak_bytes + 16_000


def pruned(pruning: dict[str, object], **changes: object) -> Resources:
    method = {"type": "lpaf", "pruning": {"batch_size": 256, **pruning}}
    return resources(
        **{"adapt": "never", "finetune": {"type": "none"}, "method": method, **changes}
    )


def test_pruning_holds_scores_and_masked_weights_beside_the_model() -> None:
    rest = 16 * MODEL_PARAMS + 256 * 4 * 128 * 160
    assert pruned({}).peak_bytes == rest + (4 * (2 + 2) + 1) * 2000
    by_adam = pruned({"scores": "movement", "score_learning_rate": 0.01})
    assert by_adam.peak_bytes == rest + (4 * (4 + 2) + 1) * 2000
    assert pruned({"scores": "magnitude"}).peak_bytes == rest + (4 * 2 + 1) * 2000


def test_finding_ranks_begins_with_all_of_them() -> None:
    """Of [20, 20], [40, 20] and [20, 40]: 20 · 40, 20 · 60 and 20 · 60 numbers."""
    method = {"type": "rankdyna", "training": {"batch_size": 256, "epochs": 2}}
    found = resources(500, adapt="never", method=method)
    units = 20 * 40 + 20 * 60 + 20 * 60
    assert found.peak_bytes == 16 * (MODEL_PARAMS - 2000 + units) + 256 * 4 * 128 * 160
    assert found.flops == 6 * units * 2 * 500 * 128


def test_mixed_ranks_keep_two_passes_and_the_pruned_weights() -> None:
    def found(**fields: object) -> Resources:
        finetune = {"type": "mixed_rank", "batch_size": 512, **fields}
        return pruned({"batch_size": 1}, finetune=finetune)

    recipe = recipe_with(method={"type": "lpaf"})
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe, None)
    rest = 16 * plan.model_params_after + 2 * 512 * 4 * 128 * 160
    assert found().peak_bytes == rest + 17 * 2000
    assert found(sparse_weights="frozen").peak_bytes == rest + 5 * 2000


def test_work_counts_pruning_and_both_passes_by_the_paths_that_they_take() -> None:
    tokens = 128
    of_pruning = pruned({"epochs": 2}, rows=500)
    assert of_pruning.flops == 6 * 2000 * 2 * 500 * tokens
    mixed = {"type": "mixed_rank", "sparse_probability": 0.8, "low_rank_share": 0.5, "epochs": 3}
    both = pruned({"epochs": 2}, finetune=mixed, rows=500)
    kept = make_plan(LAYERS, MODEL_PARAMS, recipe_with(method={"type": "lpaf"}), None)
    mean = 0.2 * 2000 + 0.8 * kept.target_params_after
    assert both.flops == of_pruning.flops + 6 * round(2 * mean) * 3 * 500 * tokens


def test_work_counts_every_pass_over_its_rows() -> None:
    tokens = 128
    assert resources(500, **UNTRAINED, **UNIFORM_SVD).flops == 0
    assert resources(500, **UNTRAINED).flops == 6 * 2000 * 500 * tokens
    assert resources(5000, **UNTRAINED).flops == 6 * 2000 * 1024 * tokens
    adapted = resources(500, adaptation={"epochs": 2})
    assert adapted.flops == 6 * 2000 * (500 + 2 * 500) * tokens
    recipe = recipe_with(adapt="never", finetune={"type": "distill", "epochs": 3})
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe, None)
    student = 6 * plan.target_params_after + 2 * 2000
    found = estimate_resources(plan, recipe, 500)
    assert found.flops == (6 * 2000 * 500 + student * 3 * 500) * tokens


def test_a_search_keeps_every_decomposition_and_answers_rows() -> None:
    # (40, 20) and (60, 20): full rank 20
    layers = layers_of([(40, 20), (60, 20)])
    decompositions = 8 * 20 * (60 + 80)

    def found(rows: int | None = None, **changes: object) -> Resources:
        size = {"type": "keep_ratio", "value": 0.9}
        recipe = recipe_with(**{**UNTRAINED, "method": {"type": "svd"}, "budget": size, **changes})
        return estimate_resources(make_plan(layers, 4000, recipe, None), recipe, rows)

    uniform, bayesian = {"type": "uniform"}, {"type": "bayesian", "trials": 7, "rows": 100}
    assert found(allocation=uniform).peak_bytes == 16_000
    assert found(allocation=bayesian).peak_bytes == 16_000 + decompositions
    held = {**bayesian, "keep_dense": ["layer.0"]}
    assert found(allocation=held).peak_bytes == 16_000 + 8 * 20 * 80
    per_row = 2 * 2000 * 128
    assert found(500, allocation=bayesian).flops == per_row * 7 * 100
    assert found(50, allocation=bayesian).flops == per_row * 7 * 50
    measured = {"type": "sensitivity", "groups": 5, "rows": None}
    assert found(500, allocation=measured).flops == per_row * 2 * 5 * 500
    drop = {"type": "max_drop", "abs": 0.01, "evaluations": 4}
    both = found(500, allocation=measured, budget=drop)
    assert both.flops == per_row * (2 * 5 + 4) * 500
    assert both.peak_bytes == 16_000 + decompositions


def test_time_classes_are_told_by_the_clock() -> None:
    per_second = int(4e10)
    assert time_class(60 * per_second) == "minutes"
    assert time_class(3600 * per_second) == "hours"
    assert time_class(86_400 * per_second) == "days"
