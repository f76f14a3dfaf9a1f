"""Weighted optima in extended precision: what the closed forms are judged by.

80-bit floats (`numpy.longdouble` on x86: 64 bits of mantissa, eps 1.1e-19, against float64's 53)
and data matrices instead of Grams, whose conditions are the squares of theirs: 3.3 digits more, and
twice as many again. Nothing is shared with the product: triangular factors are Householder's, the
singular values those of one-sided Jacobi rotations (Demmel & Veselić 1992: each to high relative
accuracy after column scaling), in plain numpy without LAPACK.
"""

import numpy as np
from numpy.typing import NDArray

Extended = NDArray[np.longdouble]

EPS = float(np.finfo(np.longdouble).eps)
SWEEPS = 60


def triangular_factor(rows: Extended) -> Extended:
    """R with ``RᵀR = rowsᵀ rows``, of Householder's QR."""
    r = rows.copy()
    for k in range(min(r.shape)):
        v = r[k:, k].copy()
        v[0] += np.copysign(norm(v), v[0])
        length = norm(v)
        if length > 0:
            v /= length
            r[k:, k:] -= 2 * np.outer(v, v @ r[k:, k:])
    return np.triu(r[: min(r.shape)])


def singular_values(matrix: Extended) -> Extended:
    """Descending; by rotations of pairs of columns until all are orthogonal to rounding."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    columns = padded_to_even(triangular_factor(tall))
    rounds, nothing = tournament(columns.shape[1]), len(columns) * EPS * norm(columns)
    for _ in range(SWEEPS):
        cosines = [rotate(columns, first, second, nothing) for first, second in rounds]
        if max(cosines) < len(columns) * EPS:
            found = np.sqrt(np.square(columns).sum(0))
            return np.sort(found)[::-1][: tall.shape[1]]
    raise ArithmeticError(f"columns are not orthogonal after {SWEEPS} sweeps")


def rotate(
    columns: Extended, first: NDArray[np.intp], second: NDArray[np.intp], nothing: np.longdouble
) -> float:
    """Makes each pair orthogonal; the largest cosine that was met, of columns above rounding."""
    a, b = columns[:, first], columns[:, second]
    aa, bb, ab = np.square(a).sum(0), np.square(b).sum(0), (a * b).sum(0)
    sizes, seen = np.sqrt(aa) * np.sqrt(bb), np.sqrt(np.minimum(aa, bb)) > nothing
    cosines = np.divide(np.abs(ab), sizes, out=np.zeros_like(ab), where=seen)
    turned = cosines > EPS
    zeta = np.divide(bb - aa, 2 * ab, out=np.zeros_like(ab), where=turned)
    tangent = np.where(zeta >= 0, 1, -1) / (np.abs(zeta) + np.hypot(1, zeta)) * turned
    c = 1 / np.hypot(1, tangent)
    columns[:, first], columns[:, second] = c * a - c * tangent * b, c * tangent * a + c * b
    return float(cosines.max())


def tournament(players: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rounds of disjoint pairs in which everyone meets everyone once."""
    order, rounds = np.arange(players), []
    for _ in range(players - 1):
        half = players // 2
        rounds.append((order[:half].copy(), order[half:][::-1].copy()))
        order[1:] = np.roll(order[1:], 1)
    return rounds


def padded_to_even(matrix: Extended) -> Extended:
    return np.pad(matrix, ((0, 0), (0, matrix.shape[1] % 2)))


def norm(matrix: Extended) -> np.longdouble:
    found: np.longdouble = np.sqrt(np.square(matrix).sum())
    return found
