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
    n, p = lower.shape
    product, whole = lower.new_empty(n, p), lower.new_zeros(p, p)
    ranges = block_ranges(lower)
    for start, stop in ranges:
        product[:, start:stop] = matrix[:, start:] @ lower[start:, start:stop]
    for start, stop in ranges:
        whole[start:stop, :stop] = lower[start:, start:stop].T @ product[start:, :stop]
    return whole, product


def lower_times(lower: Float[Tensor, "n p"], right: Float[Tensor, "p k"]) -> Float[Tensor, "n k"]:
    """``lower @ right``; the zeros of a triangular ``lower`` are left out in blocks."""
    rows = (lower[start:stop, :stop] @ right[:stop] for start, stop in block_ranges(lower))
    return torch.cat(list(rows))


def block_ranges(lower: Float[Tensor, "n p"]) -> list[tuple[int, int]]:
    """Of rows and columns alike: zeros stand right of a range's end. One, where there is no
    triangle."""
    size = max(lower.shape)
    triangular = lower.shape[0] == lower.shape[1] and not bool(lower.triu(1).any())
    block = -(-size // TRIANGLE_BLOCKS) if triangular else size
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
