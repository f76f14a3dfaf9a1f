"""Candidates of one search, measured one after the other; equal ranks are measured once."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from core.compression.allocation.scorer import Measured, Scorer
from core.compression.allocation.search import Search
from core.compression.progress import Checkpointed, Progress, standing_at
from core.planning.loss_factor import fitted_factor
from core.planning.plan import Candidate, Plan, Ranks
from core.recipe.recipe import fingerprint

Judge = Callable[[Ranks, Measured, Measured], Mapping[str, Any]]
"""(ranks, the dense model, the candidate) -> what else is to be told of the candidate."""


class Trials:
    def __init__(self, search: Search, scorer: Scorer, unit: str, judge: Judge):
        self._search, self._scorer, self._unit, self._judge = search, scorer, unit, judge
        self.candidates: list[Candidate] = []

    def of(self, ranks: Ranks, left: int) -> Generator[Progress | Checkpointed, None, Candidate]:
        """Measure, or recall from before an interruption; `left` trials are to come, this first."""
        journal, name = self._search.journal, fingerprint(dict(ranks))
        done = len(self.candidates)
        if name not in journal:
            work = self._measured(ranks)
            candidate = yield from standing_at(done, done + left, self._unit, work)
            journal.record(name, candidate.model_dump(mode="json"))
            yield Checkpointed(len(journal))
        candidate = Candidate.model_validate(journal[name])
        self.candidates.append(candidate)
        yield Progress(done + 1, done + left, self._unit, _plotted(candidate))
        return candidate

    def _measured(self, ranks: Ranks) -> Generator[Progress, None, Candidate]:
        dense = yield from self._scorer.dense()
        found = yield from self._search.measured(self._scorer, ranks)
        plan = self._search.plan_of(ranks)
        return Candidate(
            keep_ratio=plan.keep_ratio,
            predicted_loss_increase=plan.predicted_loss_increase,
            measured_loss_increase=found.loss - dense.loss,
            **self._judge(ranks, dense, found),
        )

    def chosen(self, ranks: Ranks) -> Plan:
        """The plan of these ranks, with what the candidates say."""
        factor = fitted_factor(
            (each.predicted_loss_increase, each.measured_loss_increase) for each in self.candidates
        )
        plan = self._search.plan_of(ranks).with_factor(factor)
        return plan.model_copy(update={"candidates": tuple(self.candidates)})


def _plotted(candidate: Candidate) -> dict[str, float]:
    values = {
        "keep_ratio": candidate.keep_ratio,
        "loss_increase": candidate.measured_loss_increase,
        "drop": candidate.drop,
    }
    return {name: value for name, value in values.items() if value is not None}
