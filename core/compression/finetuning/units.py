"""A linear layer as a sum of rank-ones, each of which training may delete.

    y = U diag(s) Vᵀ x + b,     U [out, r], s [r], Vᵀ [r, in]

It starts as the whole SVD of the dense weight. A deleted unit is zero in all three, and stays so:
each of its gradients has one of the others as a factor. `shrink` takes the zeros out.

A layer of full rank holds more numbers than the dense one. It multiplies by the factors or by their
product, whichever takes fewer multiplications for as many rows as there are.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.finetuning.protocol import Training
from core.compression.models.layers import linear_layer, replace_layer


class UnitLinear(nn.Module):
    live: Tensor
    """[r]: units that are not deleted."""

    def __init__(self, dense: nn.Linear):
        super().__init__()
        weight = dense.weight.detach()
        u, s, vt = torch.linalg.svd(weight.double(), full_matrices=False)
        self.u = nn.Parameter(u.to(weight.dtype).contiguous())
        self.s = nn.Parameter(s.to(weight.dtype))
        self.vt = nn.Parameter(vt.to(weight.dtype).contiguous())
        self.bias = None if dense.bias is None else nn.Parameter(dense.bias.detach().clone())
        self.register_buffer("live", torch.ones_like(self.s, dtype=torch.bool))

    @property
    def unit_cost(self) -> int:
        """Parameters of one unit in the artifact, where s is part of a factor."""
        return self.u.shape[0] + self.vt.shape[1]

    @property
    def rank(self) -> int:
        return int(self.live.sum())

    def product(self) -> Float[Tensor, "out in"]:
        return (self.u * self.s) @ self.vt

    def forward(self, x: Tensor) -> Tensor:
        (out_features, units), in_features = self.u.shape, self.vt.shape[1]
        rows = x.numel() // in_features
        by_factors = rows * units * (out_features + in_features)
        if by_factors <= (rows + units) * out_features * in_features:
            return F.linear(F.linear(x, self.vt) * self.s, self.u, self.bias)
        return F.linear(x, self.product(), self.bias)

    @torch.no_grad()
    def delete(self, units: Bool[Tensor, "r"], training: Training) -> None:
        """For good: their weights and moments are zero from now on."""
        self.live &= ~units
        self._clear(self.u, (slice(None), units), training)
        self._clear(self.s, units, training)
        self._clear(self.vt, units, training)

    def shrink(self, training: Training) -> Bool[Tensor, "r"]:
        """Take what is deleted out of the parameters and of the optimizer's moments; gives which
        units were kept."""
        kept = self.live.clone()
        training.replace(self.u, lambda u: u[:, kept])
        training.replace(self.s, lambda s: s[kept])
        training.replace(self.vt, lambda vt: vt[kept])
        self.live = self.live[kept]
        return kept

    def _clear(self, parameter: nn.Parameter, some: object, training: Training) -> None:
        parameter[some] = 0  # type: ignore[index]
        for value in training.optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value[some] = 0  # type: ignore[index]


def put_units(model: nn.Module, names: Sequence[str]) -> dict[str, UnitLinear]:
    """Layers of units in place of these; the model computes what it did."""
    layers = {name: UnitLinear(linear_layer(model, name)) for name in names}
    for name, layer in layers.items():
        replace_layer(model, name, layer)
    return layers


@torch.no_grad()
def take_units(dense: nn.Module, layers: Mapping[str, UnitLinear]) -> None:
    """The products, as weights of a model's own layers."""
    for name, layer in layers.items():
        own = linear_layer(dense, name)
        own.weight.copy_(layer.product())
        if layer.bias is not None:
            own.bias.copy_(layer.bias)


def distance_from_orthogonal(layers: Mapping[str, UnitLinear]) -> Tensor:
    """Σ ‖UᵀU − I‖² + ‖VᵀV − I‖² over the units that are there."""
    return torch.stack(
        [
            (gram - torch.diag(layer.live.to(gram.dtype))).square().sum()
            for layer in layers.values()
            for gram in (layer.u.T @ layer.u, layer.vt @ layer.vt.T)
        ]
    ).sum()
