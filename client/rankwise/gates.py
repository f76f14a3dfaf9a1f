"""Quality gates: what the result must be for a pipeline to go on.

accuracy>=0.85        the final model's metric, as the service writes it
accuracy.drop<=0.01   the dense model's less the final model's, on the same rows
kept<=0.3             parameters of the factorizable weights, after over before
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rankwise.errors import Exit, Json, RankwiseError, UsageError

COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
GATE = re.compile(r"\s*([a-z][a-z0-9_]*(?:\.drop)?)\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*")


class GateMissed(RankwiseError):
    exit_code = Exit.GATE_MISSED


@dataclass(frozen=True)
class Gate:
    quantity: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.quantity}{self.comparison}{self.bound:g}"

    def check(self, result: Json) -> None:
        """
        Raises:
            GateMissed: the result is not as it must be.
            UsageError: it has no such number.
        """
        value = value_of(self.quantity, result)
        if not COMPARED[self.comparison](value, self.bound):
            raise GateMissed(f"The quality gate {self} is missed: {self.quantity} is {value:.6g}.")


def parse_gate(text: str) -> Gate:
    """
    Raises:
        UsageError: it is none.
    """
    found = GATE.fullmatch(text)
    try:
        assert found is not None
        return Gate(found[1], found[2], float(found[3]))
    except (AssertionError, ValueError):
        raise UsageError(
            f"{text!r} is no quality gate: write accuracy>=0.85, accuracy.drop<=0.01 or kept<=0.3"
        ) from None


def value_of(quantity: str, result: Json) -> float:
    if quantity == "kept":
        sizes = result["params"]["targets"]
        return float(sizes["after"] / sizes["before"])
    name, _, of = quantity.partition(".")
    phases = result["metrics"]
    final = phases[list(phases)[-1]]
    if name not in final:
        raise UsageError(f"The result has no metric {name!r}; it has {', '.join(sorted(final))}.")
    value = final[name]["drop" if of else "value"]
    if value is None:
        raise UsageError(f"The result tells no {quantity}.")
    return float(value)
