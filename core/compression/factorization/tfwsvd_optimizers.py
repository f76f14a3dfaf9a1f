"""Five ways down the element-wise objective, each a series of rounds that costs about the same.

`als`       Alternating weighted least squares: for Q held, every row of P has its own normal
            equations ``Q diag(F_i) Qᵀ p_i = Q diag(F_i) w_i`` (k × k, solved in batches); then P is
            held. After the first sweep the changes are taken `RELAXATION` times: J is quadratic
            in either factor, so it never rises by a multiple below 2.
`em`        Srebro & Jaakkola, ICML 2003: with F scaled into [0, 1], X ← SVD_k(F ∘ W + (1 − F) ∘ X):
            entries are missing to the part that they do not count. J never rises.
`adam`      Full gradients, Adam.
`sgd`       Full gradients with momentum 0.9. Nothing is sampled: the name is the paper's.
`adam_sgd`  The paper's: Adam from plain SVD until J is below that of FWSVD, then `sgd`.

A round is a sweep of `als` or `em`, or fifty gradient steps, in float32 and with a step that halves
after each round that did not lower J. No optimizer is stopped by its own rule: see `descend`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.tfwsvd_objective import Objective, Pair

STEPS = 50
"""Of a gradient method's round."""
PATIENCE = 3
"""Rounds in a row that lower J by less than the tolerance end the descent."""
ADAM_RATE = 3e-3
"""Of the factors' root mean square."""
MOMENTUM = 0.9
RELAXATION = 1.5
"""Of the changes of `als`; on real layers 4 such sweeps do what 8 plain ones do."""
SINGLE_RIDGE = 1e-7
"""Of the mean diagonal, where a row's normal matrix is float32."""
RIDGES = (1e-12, 1e-9, 1e-6, 1e-3)
"""Of the mean diagonal of a row's normal matrix; the next larger one where rounding made one of a
batch's matrices indefinite."""
BATCH_NUMBERS = 4_000_000
"""Numbers that the normal matrices of a batch of rows may hold, and as many what makes them."""
EXACT = 1e-24
"""A J below this share of Σ F ∘ W² is rounding."""


@dataclass(frozen=True)
class Starts:
    """Of one rank."""

    best: Pair
    """The closed form of lowest J."""
    svd: Pair
    fwsvd: Pair
    """The paper's: weights on the inputs."""


Optimizer = Callable[[Objective, Starts], Iterator[Pair]]


def descend(
    objective: Objective, starts: Starts, optimizer: str, tolerance: float, max_rounds: int
) -> Pair:
    """The best of the start and all rounds. The rule to stop is the same for all: three rounds in
    a row have each lowered the lowest J by less than this share of it."""
    lowest, best = objective(starts.best), starts.best
    if lowest <= EXACT * objective.squared_norm(objective.weight):
        return best
    reached, idle = float("inf"), 0
    for pair in islice(OPTIMIZERS[optimizer](objective, starts), max_rounds):
        value = objective(pair)
        if value < lowest:
            lowest, best = value, pair
        idle = idle + 1 if value > (1 - tolerance) * reached else 0
        reached = min(reached, value)
        if idle == PATIENCE:
            break
    return best


def als(objective: Objective, starts: Starts) -> Iterator[Pair]:
    pair, times = starts.best, 1.0
    while True:
        p = pair.p + times * row_changes(objective, pair)
        q = pair.q + times * row_changes(objective.transposed, Pair(pair.q.T, p.T)).T
        pair, times = Pair(p, q), RELAXATION
        yield pair


def row_changes(objective: Objective, pair: Pair) -> Float[Tensor, "out k"]:
    """From P to what is best for Q: each row's change d solves (Q F_i Qᵀ) d = Q F_i (w_i − Qᵀ p_i).

    Solving for the change leaves alone what Q says nothing of (rows of zeros), and lets the ridge
    never raise J.
    """
    rows = max(1, BATCH_NUMBERS // len(pair.q) ** 2)
    error = objective.weight - pair.p @ pair.q
    batches = [slice(start, start + rows) for start in range(0, len(error), rows)]
    return torch.cat([changes(objective.fisher[some], error[some], pair.q) for some in batches])


def changes(
    fisher: Float[Tensor, "rows in"], error: Float[Tensor, "rows in"], q: Float[Tensor, "k in"]
) -> Float[Tensor, "rows k"]:
    """The right side is float64, so a float32 root is as good as any to go down by: it decides only
    how far, and the next sweep starts from the error that is left."""
    right: Tensor = ((fisher * error) @ q.T)[..., None]
    single = normal_matrices(fisher.float(), q.float())
    root = torch.linalg.cholesky_ex(ridged(single, SINGLE_RIDGE))
    if root.info.any():
        return torch.cholesky_solve(right, root_of(normal_matrices(fisher, q)))[..., 0]
    return torch.cholesky_solve(right.float(), root.L)[..., 0].to(right.dtype)


def normal_matrices(
    fisher: Float[Tensor, "rows in"], q: Float[Tensor, "k in"]
) -> Float[Tensor, "rows k k"]:
    """The lower triangle of Q diag(F_i) Qᵀ, all that Cholesky reads: for some columns a at a time
    one product of all rows' F with the products q_a ∘ q_b, b ≥ a."""
    rank, in_features = q.shape
    normal = fisher.new_zeros(len(fisher), rank, rank)
    width = max(1, BATCH_NUMBERS // (rank * in_features))
    for first in range(0, rank, width):
        last = min(rank, first + width)
        products = (q[first:, None] * q[first:last]).flatten(0, 1)
        made = (fisher @ products.T).view(len(fisher), rank - first, last - first)
        normal[:, first:, first:last] = made
    return normal


def root_of(normal: Float[Tensor, "rows k k"]) -> Float[Tensor, "rows k k"]:
    """Cholesky's, under the smallest ridge that makes it exist."""
    for ridge in RIDGES:
        found = torch.linalg.cholesky_ex(ridged(normal, ridge))
        if not found.info.any():
            break
    root: Tensor = found.L
    return root


def ridged(normal: Float[Tensor, "rows k k"], ridge: float) -> Float[Tensor, "rows k k"]:
    """With this multiple of each matrix's mean diagonal on its diagonal."""
    mean = normal.diagonal(dim1=1, dim2=2).mean(1) + torch.finfo(normal.dtype).tiny
    identity = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    return normal + ridge * mean[:, None, None] * identity


def em(objective: Objective, starts: Starts) -> Iterator[Pair]:
    pair, rank = starts.best, len(starts.best.q)
    observed = objective.fisher / objective.fisher.max()
    while True:
        x = pair.p @ pair.q
        u, s, vt = torch.linalg.svd(x + observed * (objective.weight - x), full_matrices=False)
        pair = Pair(u[:, :rank] * s[:rank], vt[:rank])
        yield pair


def adam(objective: Objective, starts: Starts) -> Iterator[Pair]:
    return rounds(objective, starts.best, torch.optim.Adam, adam_rate(starts.best))


def sgd(objective: Objective, starts: Starts) -> Iterator[Pair]:
    return rounds(objective, starts.best, momentum_sgd, sgd_rate(objective, starts.best))


def adam_sgd(objective: Objective, starts: Starts) -> Iterator[Pair]:
    threshold, pair = objective(starts.fwsvd), starts.svd
    for pair in rounds(objective, starts.svd, torch.optim.Adam, adam_rate(starts.svd)):
        yield pair
        if objective(pair) < threshold:
            break
    yield from rounds(objective, pair, momentum_sgd, sgd_rate(objective, pair))


def momentum_sgd(parameters: list[Tensor], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM)


def adam_rate(pair: Pair) -> float:
    return ADAM_RATE * float(torch.cat([pair.p.flatten(), pair.q.flatten()]).square().mean().sqrt())


def sgd_rate(objective: Objective, pair: Pair) -> float:
    """1/L of the steepest row: λ_max(2 Q F_i Qᵀ) ≤ 2 Σ_j F_ij ‖q_j‖², and so for P."""
    of_rows = objective.fisher @ pair.q.square().sum(0)
    of_columns = pair.p.square().sum(1) @ objective.fisher
    return 1 / (2 * float(torch.maximum(of_rows.max(), of_columns.max())))


def rounds(
    objective: Objective,
    start: Pair,
    make: Callable[[list[Tensor], float], torch.optim.Optimizer],
    rate: float,
) -> Iterator[Pair]:
    """Fifty steps each; one that did not lower J is taken back, and the step halved."""
    single, lowest = objective.to(torch.float32), objective(start)
    parameters = [start.p.float().clone(), start.q.float().clone()]
    optimizer = make(parameters, rate)
    while True:
        before = [parameter.clone() for parameter in parameters]
        step(single, parameters, optimizer)
        pair = Pair(*parameters).to(start.p.dtype)
        value = objective(pair)
        yield pair
        if value < lowest:
            lowest = value
            continue
        rate /= 2
        parameters = before
        optimizer = make(parameters, rate)


def step(objective: Objective, parameters: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """A round's steps, in place."""
    for _ in range(STEPS):
        gradients = objective.gradients(Pair(*parameters))
        parameters[0].grad, parameters[1].grad = gradients.p, gradients.q
        optimizer.step()


OPTIMIZERS: dict[str, Optimizer] = {
    "als": als,
    "em": em,
    "sgd": sgd,
    "adam": adam,
    "adam_sgd": adam_sgd,
}
