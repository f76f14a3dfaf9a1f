from core.planning.plan import Candidate, Plan
from core.recipe.events import LayerReport
from core.reporting.layer_tables import layer_rows
from core.reporting.tables import candidate_rows, factor_in_words


def layer(name: str, **told: object) -> LayerReport:
    given = {"out_features": 1536, "in_features": 576, "params_before": 884_736}
    return LayerReport.model_validate({"name": name, **given, **told})


def test_a_layer_in_numbers() -> None:
    factorized, dense = layer_rows(
        [
            layer(
                "model.layers.0.mlp.up_proj",
                rank=96,
                params_after=202_752,
                retained_energy=0.9876,
                predicted_loss_increase=0.00123,
                measured_error=0.1114,
                phi=0.0005,
            ),
            layer("model.layers.0.mlp.gate_proj", rank=None, params_after=884_736),
        ]
    )
    assert (factorized.shape, factorized.rank, factorized.kept) == ("1,536 × 576", "96", "22.9 %")
    assert (factorized.energy_left_out, factorized.measured_error) == ("1.24 %", "11.14 %")
    assert (factorized.predicted_increase, factorized.phi) == ("1.230", "0.500")
    assert (dense.rank, dense.kept) == ("dense", "100.0 %")
    told = (dense.energy_left_out, dense.predicted_increase, dense.measured_error, dense.phi)
    assert told == ("",) * 4


def plan(*candidates: Candidate) -> Plan:
    return Plan(
        layers=(),
        target_params_before=100,
        target_params_after=30,
        model_params_before=200,
        model_params_after=130,
        predicted_loss_increase=0.01,
        candidates=candidates,
    )


def test_a_search_tells_what_it_measured() -> None:
    met = Candidate(
        keep_ratio=0.3,
        predicted_loss_increase=0.0021,
        measured_loss_increase=0.0108,
        metric="accuracy",
        value=0.883,
        drop=0.008,
        drop_interval=(-0.003, 0.019),
        meets=True,
    )
    worse = met.model_copy(
        update={
            "metric": "perplexity",
            "drop": 1.25,
            "drop_interval": None,
            "meets": False,
            "predicted_loss_increase": None,
        }
    )
    first, second = candidate_rows(plan(met, worse))
    assert (first.kept, first.predicted, first.measured) == ("30.0 %", "+0.0021", "+0.0108")
    assert (first.drop, first.meets) == ("accuracy −0.8 points [−1.9 … +0.3]", "yes")
    assert (second.drop, second.predicted, second.meets) == ("perplexity +1.2500", "", "no")


def test_a_factor_has_the_digits_that_it_deserves() -> None:
    assert [factor_in_words(value) for value in (3.44, 461.7)] == ["3.4", "462"]
