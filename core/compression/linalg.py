"""The few pieces of linear algebra that statistics and factorizations stand on."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

TRIANGLE_BLOCKS = 6
"""Of a triangular factor: more leave out more zeros and make smaller products."""


@dataclass(frozen=True)
class Eigenpairs:
    """``vectors @ diag(values) @ vectorsᵀ`` of a positive semidefinite matrix, descending."""

    values: Float[Tensor, "n"]
    vectors: Float[Tensor, "n n"]


def accumulation_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def gram(rows: Float[Tensor, "rows n"]) -> Float[Tensor, "n n"]:
    """Σ r rᵀ over the rows r: the upper triangle in three borders of blocks, then mirrored, which
    takes two thirds of the multiplications of ``rows.T @ rows``."""
    n = rows.shape[1]
    block = max(1, -(-n // 3))
    total = rows.new_empty(n, n)
    for start in range(0, n, block):
        stop = start + block
        border = rows[:, start:stop].T @ rows[:, start:]
        total[start:stop, start:] = border
        total[stop:, start:stop] = border[:, block:].T
    return total


def damped(gram: Float[Tensor, "n n"], amount: float) -> Float[Tensor, "n n"]:
    """``gram + amount · I``."""
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return gram + amount * identity


def eigenpairs(matrix: Float[Tensor, "n n"]) -> Eigenpairs:
    """Of a positive semidefinite matrix; values that rounding made negative are zero."""
    return lower_eigenpairs((matrix + matrix.T) / 2)


def lower_eigenpairs(triangle: Float[Tensor, "n n"]) -> Eigenpairs:
    """As `eigenpairs`, of a matrix of which only the lower triangle is read."""
    values, vectors = torch.linalg.eigh(triangle, UPLO="L")
    return Eigenpairs(values.flip(0).clamp(min=0), vectors.flip(1))


def root(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """L with ``L Lᵀ = gram``: Cholesky's, or where the Gram is singular the eigenvectors'."""
    found = torch.linalg.cholesky_ex(gram)
    if not found.info:
        lower: Tensor = found.L
        return lower
    pairs = eigenpairs(gram)
    return pairs.vectors * pairs.values.sqrt()


def congruence(
    lower: Float[Tensor, "n p"], matrix: Float[Tensor, "n n"]
) -> tuple[Float[Tensor, "p p"], Float[Tensor, "n p"]]:
    """``lowerᵀ matrix lower``, of which only the lower triangle is there, and ``matrix lower``.

    Where ``lower`` is triangular, blocks leave out its zeros: half of the multiplications.
    """
    if not is_lower_triangular(lower):
        product = matrix @ lower
        return lower.T @ product, product
    product, whole = torch.empty_like(matrix), torch.zeros_like(matrix)
    for start, stop in blocks(len(lower)):
        product[:, start:stop] = matrix[:, start:] @ lower[start:, start:stop]
    for start, stop in blocks(len(lower)):
        whole[start:stop, :stop] = lower[start:, start:stop].T @ product[start:, :stop]
    return whole, product


def lower_times(lower: Float[Tensor, "n p"], right: Float[Tensor, "p k"]) -> Float[Tensor, "n k"]:
    """``lower @ right``; the zeros of a triangular ``lower`` are left out in blocks."""
    if not is_lower_triangular(lower):
        return lower @ right
    return torch.cat(
        [lower[start:stop, :stop] @ right[:stop] for start, stop in blocks(len(lower))]
    )


def is_lower_triangular(matrix: Float[Tensor, "n p"]) -> bool:
    return matrix.shape[0] == matrix.shape[1] and not bool(matrix.triu(1).any())


def blocks(size: int) -> list[tuple[int, int]]:
    """Starts and stops."""
    block = max(1, -(-size // TRIANGLE_BLOCKS))
    return [(start, min(start + block, size)) for start in range(0, size, block)]


def inverse_of_kept(values: Float[Tensor, "r"], size: int) -> Float[Tensor, "r"]:
    """1/value where the value, descending, is above rounding (size · eps · largest); 0 below."""
    kept = values > size * torch.finfo(values.dtype).eps * values[:1]
    return torch.where(kept, 1 / torch.where(kept, values, 1.0), 0.0)


def tail_sums(values: Float[Tensor, "r"]) -> Float[Tensor, "r_plus_1"]:
    """Σ_{i>k} values_i for k = 0..r."""
    sums = torch.zeros(len(values) + 1, dtype=values.dtype, device=values.device)
    sums[:-1] = values.flip(0).cumsum(0).flip(0)
    return sums
