"""One layer's statistics while they accumulate: what each takes of a forward and a backward pass.

Grams are kept of the smaller side only, and of a side over 8,192 their diagonal. C = W A Wᵀ of a
square layer is taken from A once at the end, because A is the same for all layers with the same
input; elsewhere it is summed over y − b.
B = Wᵀ G W is summed over the layer's own input gradient Wᵀδ, which the backward pass computes.
"""

import torch
from torch import Tensor, nn

from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import accumulation_dtype
from core.compression.models.layers import as_linear
from core.compression.statistics.fisher_sums import fisher_sums
from core.compression.statistics.tokens import Tokens
from core.errors import NumericalError
from core.recipe.statistics import LARGEST_GRAM_SIDE, Statistic

FISHER = frozenset({Statistic.FISHER, Statistic.FISHER_IN, Statistic.FISHER_OUT})
INPUT_SIDE = frozenset({Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAM})
GRADIENT_SIDE = frozenset({Statistic.OUTPUT_GRAD_GRAM, Statistic.INPUT_GRAD_GRAM})
INPUT_SUMS = frozenset({Statistic.INPUT_SUM, Statistic.INPUT_ABS_SUM})
OF_INPUTS = INPUT_SUMS | {Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM, Statistic.FISHER_IN}


class LayerEstimator:
    """Sums over some of a pass's batches for one linear layer.

    It is shown each batch's inputs, outputs, output gradients and, where `needs_input_gradient`,
    input gradients, and takes of them what the statistics asked for need.
    """

    def __init__(self, name: str, layer: nn.Module, asked: frozenset[Statistic]):
        self.name = name
        self.layer = layer
        """The model's own module, which is watched."""
        self.linear = as_linear(layer, name)
        self.asked = asked
        self.tokens = 0
        self._sums = {statistic: self._zeros(statistic) for statistic in self._summed()}
        self._traces = {trace: self._scalar() for trace in self._traced()}

    @property
    def needs_gradient(self) -> bool:
        return bool(self.asked & (GRADIENT_SIDE | FISHER))

    @property
    def needs_example_gradients(self) -> bool:
        """Sums over squares of each example's whole gradient at W."""
        return bool(self.asked & FISHER)

    @property
    def needs_input_gradient(self) -> bool:
        return Statistic.INPUT_GRAD_GRAM in self.asked

    def see_input(self, x: Tokens) -> None:
        self.tokens += x.count
        if Statistic.INPUT_GRAM in self._sums:
            self._sums[Statistic.INPUT_GRAM] += x.second_moments
        if Statistic.INPUT_GRAM in self._traces:
            self._traces[Statistic.INPUT_GRAM] += x.energy
        if Statistic.INPUT_SUM in self._sums:
            self._sums[Statistic.INPUT_SUM] += x.total
        if Statistic.INPUT_ABS_SUM in self._sums:
            self._sums[Statistic.INPUT_ABS_SUM] += x.absolute_total

    def see_output(self, y: Tokens) -> None:
        if Statistic.OUTPUT_GRAM in self._sums:
            self._sums[Statistic.OUTPUT_GRAM] += y.minus(self.linear.bias).second_moments

    def see_output_gradient(self, delta: Tokens) -> None:
        if Statistic.OUTPUT_GRAD_GRAM in self._sums:
            self._sums[Statistic.OUTPUT_GRAD_GRAM] += delta.second_moments
        if Statistic.OUTPUT_GRAD_GRAM in self._traces:
            self._traces[Statistic.OUTPUT_GRAD_GRAM] += delta.energy

    def see_example_gradients(self, x: Tokens, delta: Tokens) -> None:
        """With the tokens of all calls of this forward pass."""
        for name, total in fisher_sums(x, delta, self.asked & FISHER).items():
            self._sums[name] += total

    def see_input_gradient(self, gradient: Tokens) -> None:
        self._sums[Statistic.INPUT_GRAD_GRAM] += gradient.second_moments

    def statistics(self, examples: int) -> LayerStatistics:
        """Of the batches seen, which had this many examples."""
        sums = {name: self._total(name) for name in sorted(self.asked)}
        traces = {name: float(trace) for name, trace in self._traces.items()}
        return LayerStatistics(sums, examples, self.tokens, traces)

    def _summed(self) -> frozenset[Statistic]:
        """The statistics that are summed batch by batch: C may be taken from A instead."""
        square = self.linear.in_features == self.linear.out_features
        shared = square or Statistic.INPUT_GRAM in self.asked
        whole = max(self.linear.weight.shape) <= LARGEST_GRAM_SIDE
        if Statistic.OUTPUT_GRAM in self.asked and shared and whole:
            return self.asked - {Statistic.OUTPUT_GRAM} | {Statistic.INPUT_GRAM}
        return self.asked

    def _traced(self) -> list[Statistic]:
        sides = {Statistic.INPUT_GRAM: INPUT_SIDE, Statistic.OUTPUT_GRAD_GRAM: GRADIENT_SIDE}
        return [trace for trace, side in sides.items() if self.asked & side]

    def _total(self, name: Statistic) -> Tensor:
        total = self._sums[name] if name in self._sums else self._output_gram()
        if not torch.isfinite(total).all():
            raise NumericalError(
                f"{self.name}: the sum of {name} is not finite",
                hint="Calibrate in float32: activations or gradients overflow.",
            )
        return total

    def _output_gram(self) -> Tensor:
        """C = W A Wᵀ."""
        weight = self.linear.weight.detach().to(self._dtype)
        return weight @ self._sums[Statistic.INPUT_GRAM] @ weight.T

    @property
    def _dtype(self) -> torch.dtype:
        return accumulation_dtype(self.linear.weight.device)

    def _zeros(self, statistic: Statistic) -> Tensor:
        return torch.zeros(
            self._shape(statistic), dtype=self._dtype, device=self.linear.weight.device
        )

    def _shape(self, statistic: Statistic) -> tuple[int, ...]:
        if statistic == Statistic.FISHER:
            return self.linear.out_features, self.linear.in_features
        size = self.linear.in_features if statistic in OF_INPUTS else self.linear.out_features
        diagonal = statistic in FISHER | INPUT_SUMS or size > LARGEST_GRAM_SIDE
        return (size,) if diagonal else (size, size)

    def _scalar(self) -> Tensor:
        return torch.zeros((), dtype=self._dtype, device=self.linear.weight.device)
