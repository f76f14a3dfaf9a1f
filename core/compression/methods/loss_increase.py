"""What the plan's predicted loss increase is worth: the same increase, measured once.

A plan that was searched for has candidates, which were measured. Any other is measured here,
unfactorized against factorized on the first rows of the validation split, where its method predicts
at all.
"""

from collections.abc import Generator

from core.compression.allocation.scorer import Scorer
from core.compression.methods.compressed import load_compressed
from core.compression.models.factorized import factorized_layers
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.planning.loss_factor import fitted_factor
from core.planning.plan import Candidate, Plan

ROWS = 1024
FILE = "validation.json"


def measures_increase(plan: Plan) -> bool:
    return plan.loss_factor is None and bool(plan.predicted_loss_increase)


def measure_increase(run: Run) -> Generator[Progress, None, None]:
    """Written beside what the test split says."""
    found = yield from _measured(run)
    write_json(run.folder("evaluate") / FILE, found.model_dump(mode="json"))


def _measured(run: Run) -> Generator[Progress, None, Candidate]:
    validation, batch_size = run.examples["validation"], run.recipe.evaluation.batch_size
    model, rows = run.load_unfactorized(), validation.head(ROWS)
    scorer = Scorer(model, run.task, rows, batch_size, run.device)
    factorized = load_compressed(run, "factorize")
    dense = yield from scorer.dense()
    found = yield from scorer.replaced(factorized_layers(factorized))
    return Candidate(
        keep_ratio=run.plan.keep_ratio,
        predicted_loss_increase=run.plan.predicted_loss_increase,
        measured_loss_increase=found.loss - dense.loss,
    )


def plan_as_measured(run: Run) -> Plan:
    """The run's plan, with its factor from whichever stage measured it."""
    if not (run.folder("evaluate") / FILE).exists():
        return run.plan
    measured = Candidate.model_validate(run.read("evaluate", FILE))
    factor = fitted_factor([(measured.predicted_loss_increase, measured.measured_loss_increase)])
    return run.plan.with_factor(factor).model_copy(update={"candidates": (measured,)})
