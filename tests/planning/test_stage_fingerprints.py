"""Which change of a recipe makes which stages run again."""

import pytest

from core.planning import fingerprints as module
from core.planning.fingerprints import STAGE_VERSIONS, stage_fingerprints, stages_of
from core.recipe import Recipe
from core.recipe.dynamic_ranks import DynamicRanks
from core.recipe.methods import METHOD_CONFIGS, MethodConfig
from core.recipe.pruning import Pruning
from core.recipe.training import MixedRankFinetune, RecoveryConfig, TrainingConfig
from tests.planning.problems import MINIMAL, recipe_with

BASE = recipe_with()
STAGES = stages_of(BASE)
KFAC = {"type": "kfac", "output_damping": 0.5}
PATH = {"type": "text-classification", "dataset": {"type": "path", "path": "texts.csv"}}


def changed(one: Recipe, other: Recipe) -> list[str]:
    first, second = (stage_fingerprints(recipe, "model", "data") for recipe in (one, other))
    return [stage for stage in first if first[stage] != second[stage]]


def after(stage: str) -> list[str]:
    return STAGES[STAGES.index(stage) :]


def test_all_stages_have_a_sha256_of_their_own() -> None:
    found = stage_fingerprints(BASE, "model", "data")
    assert list(found) == STAGES
    assert list(MethodConfig.stages) == [stage for stage in STAGES if stage != "spectra"]
    assert all(set(config.stages) <= set(STAGE_VERSIONS) for config in METHOD_CONFIGS.values())
    assert len(set(found.values())) == len(STAGES)
    assert all(len(digest) == 64 and int(digest, 16) for digest in found.values())


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"seed": 18}, "adapt"),
        ({"adapt": "always"}, "adapt"),
        ({"adaptation": {"epochs": 1}}, "adapt"),
        ({"calibration": {"rows": 64}}, "statistics"),
        ({"calibration": {"fisher": "true"}}, "statistics"),
        ({"embeddings": True}, "statistics"),
        ({"calibration": {"phi": True}}, "statistics"),
        ({"method": KFAC}, "spectra"),
        ({"budget": {"type": "keep_ratio", "value": 0.4}}, "plan"),
        ({"budget": {"type": "params", "value": 1000}}, "plan"),
        ({"allocation": {"type": "uniform"}}, "plan"),
        ({"allocation": {"type": "spectrum", "rank_multiple": 8}}, "plan"),
        ({"refit": {"type": "sequential"}}, "factorize"),
        ({"finetune": {"type": "plain"}}, "finetune"),
        ({"evaluation": {"bootstrap_samples": 500}}, "evaluate"),
        ({"evaluation": {"split": "validation"}}, "evaluate"),
        ({"exports": ["safetensors", "dense"]}, "export"),
        ({"task": {**PATH, "text": "sentence"}}, "resolve"),
        ({"task": {**PATH, "max_length": 64}}, "resolve"),
        ({"task": {**PATH, "splits": {"seed": 3}}}, "resolve"),
        ({"task": {**PATH, "splits": {"max_rows": {"train": 10}}}}, "resolve"),
    ],
)
def test_a_change_reaches_its_stage_and_those_after(changes: dict[str, object], first: str) -> None:
    assert changed(BASE, recipe_with(**changes)) == after(first)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"labels": {"team": "search"}},
        {"limits": {"max_runtime_s": 60, "max_disk_bytes": 1 << 30}},
        {"queue": "gpu"},
        {"adaptation": {"checkpoint_seconds": 5}},
        {"model": {"type": "path", "path": "a/copy"}},
        {"task": {**PATH, "dataset": {"type": "path", "path": "copy.csv"}}},
        {"task": {**PATH, "dataset": {"type": "upload", "id": "ds_" + "0" * 26}}},
    ],
)
def test_names_places_and_limits_change_nothing(changes: dict[str, object]) -> None:
    assert changed(BASE, recipe_with(**changes)) == []


@pytest.mark.parametrize(
    "searched",
    [{"budget": {"type": "max_drop", "abs": 0.01}}, {"allocation": {"type": "bayesian"}}],
)
def test_what_candidates_are_evaluated_by_reaches_a_plan_that_has_them(
    searched: dict[str, object],
) -> None:
    for field in ({"batch_size": 8}, {"bootstrap_samples": 500}, {"confidence": 0.9}):
        assert changed(recipe_with(**searched), recipe_with(**searched, evaluation=field)) == after(
            "plan"
        )
    timed = recipe_with(**searched, evaluation={"latency_repeats": 5})
    assert changed(recipe_with(**searched), timed) == after("evaluate")


@pytest.mark.parametrize(
    "field", [{"groups": 5}, {"measure": "single"}, {"rows": None}, {"min_rank": 2}]
)
def test_every_field_of_a_measured_allocation_makes_another_plan(field: dict[str, object]) -> None:
    measured = {"type": "sensitivity"}
    one, other = recipe_with(allocation=measured), recipe_with(allocation={**measured, **field})
    assert changed(one, other) == after("plan")


def test_checkpointing_does_not_count_in_fine_tuning_either() -> None:
    often = recipe_with(finetune={"type": "distill", "checkpoint_seconds": 5})
    assert changed(recipe_with(finetune={"type": "distill"}), often) == []


def test_the_order_of_exports_does_not_count() -> None:
    one, other = (
        recipe_with(exports=e) for e in (["safetensors", "dense"], ["dense", "safetensors"])
    )
    assert changed(one, other) == []


@pytest.mark.parametrize(
    "field", [{"rows": 64}, {"damping": 0.5}, {"granularity": "block"}, {"batch_size": 8}]
)
def test_every_field_of_a_refit_factorizes_anew(field: dict[str, object]) -> None:
    one, other = (recipe_with(refit={"type": "sequential", **f}) for f in ({}, field))
    assert changed(one, other) == after("factorize")


@pytest.mark.parametrize(
    "search",
    [
        {"budget": {"type": "max_drop", "abs": 0.1}},
        {"allocation": {"type": "bayesian"}},
    ],
)
def test_a_refit_plans_anew_where_candidates_are_measured(search: dict[str, object]) -> None:
    one, other = (recipe_with(refit={"type": t}, **search) for t in ("none", "sequential"))
    assert changed(one, other) == after("plan")


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, "evaluate"),
        ({"finetune": {"type": "plain"}}, "finetune"),
        ({"allocation": {"type": "bayesian"}}, "plan"),
        ({"method": {"type": "rankdyna"}}, "dynamic_ranks"),
        ({"method": {"type": "lpaf"}}, "prune"),
    ],
)
def test_seeds_share_what_is_done_to_the_dense_model(fields: dict[str, object], first: str) -> None:
    one, other = (recipe_with(**fields, seed=seed, shared_seed=17) for seed in (17, 18))
    assert changed(one, other) == stages_of(one)[stages_of(one).index(first) :]
    assert changed(one, recipe_with(**fields)) == []


def test_statistics_taken_for_others_are_shared_and_change_no_result() -> None:
    both = ["fisher_in", "output_grad_gram", "output_gram", "input_gram", "input_grad_gram"]
    also = {"also": {"wide": both, "tall": both}}
    kfac = recipe_with(calibration=also)
    fwsvd = recipe_with(method={"type": "fwsvd"}, calibration=also)
    assert changed(kfac, fwsvd) == after("spectra")
    assert kfac.hash == BASE.hash
    assert changed(BASE, kfac) == after("statistics")


@pytest.mark.parametrize("method", ["svd", "svd_llm", "fwsvd"])
def test_other_statistics_leave_the_adapted_model(method: str) -> None:
    assert changed(BASE, recipe_with(method={"type": method})) == after("statistics")


def test_one_side_or_both_are_other_statistics() -> None:
    one, both = (recipe_with(method={"type": "fwsvd", "sides": s}) for s in ("input", "both"))
    assert changed(one, both) == after("statistics")


@pytest.mark.parametrize("method", ["svd", "svd_llm"])
def test_spreading_ranks_by_loss_needs_more_statistics(method: str) -> None:
    uniform, spectrum = (
        recipe_with(method={"type": method}, allocation={"type": allocation})
        for allocation in ("uniform", "spectrum")
    )
    assert changed(uniform, spectrum) == after("statistics")


def test_svd_spread_by_loss_shares_the_statistics_of_kfac() -> None:
    svd = recipe_with(method={"type": "svd"}, allocation={"type": "spectrum"})
    assert changed(BASE, svd) == after("spectra")


@pytest.mark.parametrize(("model", "data"), [("other", "data"), ("model", "other")])
def test_other_contents_change_everything(model: str, data: str) -> None:
    first, second = stage_fingerprints(BASE, "model", "data"), stage_fingerprints(BASE, model, data)
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_new_version_of_a_stage_makes_it_run_again(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stage_fingerprints(BASE, "model", "data")
    monkeypatch.setattr(module, "STAGE_VERSIONS", {**STAGE_VERSIONS, stage: 99})
    again = stage_fingerprints(BASE, "model", "data")
    assert [s for s in STAGES if before[s] != again[s]] == after(stage)


def test_every_field_of_a_recipe_is_read_or_left_out_on_purpose() -> None:
    read = {
        "adapt",
        "adaptation",
        "allocation",
        "budget",
        "calibration",
        "embeddings",
        "evaluation",
        "exports",
        "finetune",
        "method",
        "refit",
        "seed",
        "shared_seed",
        "task",
    }
    left_out = {"name", "labels", "limits", "queue", "model", "preset"}
    assert read | left_out == set(Recipe.model_fields)
    assert MINIMAL["model"]["path"] == "model"


def test_phi_costs_nothing_where_the_fisher_is_taken_anyway() -> None:
    plain, asked = (
        recipe_with(method={"type": "tfwsvd"}, calibration={"phi": phi}) for phi in (False, True)
    )
    assert changed(plain, asked) == []


def lpaf(pruning: dict[str, object], **changes: object) -> Recipe:
    return recipe_with(method={"type": "lpaf", "pruning": pruning}, **changes)


LPAF_STAGES = stages_of(lpaf({}))


@pytest.mark.parametrize(
    "field",
    [
        {"scores": "magnitude"},
        {"keep_ratio": 0.2},
        {"selection": "global"},
        {"start": "dense"},
        {"initial_warmup": 0.2},
        {"final_warmup": 0.4},
        {"smoothing": 0.9},
        {"scores": "movement", "score_learning_rate": 0.01},
        {"epochs": 5},
    ],
)
def test_every_field_of_pruning_prunes_anew(field: dict[str, object]) -> None:
    assert changed(lpaf({}), lpaf(field)) == LPAF_STAGES[LPAF_STAGES.index("prune") :]


def test_a_field_of_training_says_that_it_is_covered() -> None:
    """Those that all trainings have are covered together: `epochs` above stands for them."""
    named = {"scores", "keep_ratio", "selection", "start", "initial_warmup", "final_warmup"}
    own = set(Pruning.model_fields) - set(TrainingConfig.model_fields)
    assert own == named | {"smoothing", "score_learning_rate"}
    mixed = {"sparse_probability", "low_rank_share", "consistency", "sparse_weights"}
    assert (
        set(MixedRankFinetune.model_fields) - set(RecoveryConfig.model_fields) - {"type"} == mixed
    )


def rankdyna(training: dict[str, object], **changes: object) -> Recipe:
    return recipe_with(method={"type": "rankdyna", "training": training}, **changes)


RANKDYNA_STAGES = stages_of(rankdyna({}))
RANKDYNA_FIELDS: list[dict[str, object]] = [
    {"importance": "group"},
    {"smoothing": 0.5},
    {"uncertainty": True},
    {"start": "dense"},
    {"initial_warmup": 0.2},
    {"final_warmup": 0.4},
    {"orthogonality": 0.1},
]


@pytest.mark.parametrize("field", [*RANKDYNA_FIELDS, {"epochs": 5}])
def test_every_field_of_dynamic_ranks_finds_them_anew(field: dict[str, object]) -> None:
    changes = changed(rankdyna({}), rankdyna(field))
    assert changes == RANKDYNA_STAGES[RANKDYNA_STAGES.index("dynamic_ranks") :]


def test_no_field_of_dynamic_ranks_is_left_out() -> None:
    own = set(DynamicRanks.model_fields) - set(TrainingConfig.model_fields)
    assert own == {name for field in RANKDYNA_FIELDS for name in field}


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"type": "keep_ratio", "value": 0.1}},
        {"allocation": {"type": "uniform", "min_rank": 2}},
        {"allocation": {"type": "uniform", "keep_dense": ["a"]}},
    ],
)
def test_what_ranks_are_found_for_finds_them_anew(changes: dict[str, object]) -> None:
    found = changed(rankdyna({}), rankdyna({}, **changes))
    assert found == RANKDYNA_STAGES[RANKDYNA_STAGES.index("dynamic_ranks") :]


@pytest.mark.parametrize(
    "allocation", [{"type": "uniform", "min_rank": 2}, {"type": "uniform", "keep_dense": ["a"]}]
)
def test_what_a_planned_size_depends_on_prunes_anew(allocation: dict[str, object]) -> None:
    after_prune = LPAF_STAGES[LPAF_STAGES.index("prune") :]
    assert changed(lpaf({}), lpaf({}, allocation=allocation)) == after_prune
    one, other = lpaf({"keep_ratio": 0.2}), lpaf({"keep_ratio": 0.2}, allocation=allocation)
    expected = "prune" if "keep_dense" in allocation else "plan"
    assert changed(one, other) == LPAF_STAGES[LPAF_STAGES.index(expected) :]


def test_budgets_share_a_pruned_model_that_has_a_ratio_of_its_own() -> None:
    smaller = {"budget": {"type": "keep_ratio", "value": 0.1}}
    one, other = lpaf({"keep_ratio": 0.2}), lpaf({"keep_ratio": 0.2}, **smaller)
    assert changed(one, other) == LPAF_STAGES[LPAF_STAGES.index("plan") :]
    assert changed(lpaf({}), lpaf({}, **smaller)) == LPAF_STAGES[LPAF_STAGES.index("prune") :]


def test_what_errors_count_by_leaves_the_pruned_model() -> None:
    scores = recipe_with(method={"type": "lpaf", "weights": "scores"})
    assert changed(lpaf({}), scores) == LPAF_STAGES[LPAF_STAGES.index("spectra") :]


def test_how_often_pruning_is_saved_does_not_count() -> None:
    assert changed(lpaf({}), lpaf({"checkpoint_steps": 5})) == []


@pytest.mark.parametrize(
    "field",
    [
        {"sparse_probability": 0.4},
        {"low_rank_share": 0.5},
        {"consistency": 0.0},
        {"sparse_weights": "frozen"},
    ],
)
def test_every_field_of_mixed_ranks_trains_anew(field: dict[str, object]) -> None:
    other = lpaf({}, finetune={"type": "mixed_rank", **field})
    assert changed(lpaf({}), other) == LPAF_STAGES[LPAF_STAGES.index("finetune") :]
