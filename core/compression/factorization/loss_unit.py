"""Truncations in units of the loss: predicted increase of the mean example loss.

To second order around a trained model, an error E = W − Ŵ raises the mean loss of N examples by
``vec(E)ᵀ F vec(E) / (2N)``, F the Fisher information summed over them. With the Kronecker-factored
``F ≈ G ⊗ A / T`` (Grams summed over the layer's T tokens; Martens & Grosse, ICML 2015) that is

    ‖G^½ E A^½‖² / (2 N T).

Methods whose own norm is another have their truncations measured in this one. A truncated SVD of
out ≤ in leaves E_k = (I − U_k U_kᵀ) W, and with C = W A Wᵀ

    ‖G^½ E_k A^½‖² = Σ_{i,j>k} (Uᵀ C U)_ij (Uᵀ G U)_ij,

a sum over the bottom right block, for all k together in O(n²); out > in is the mirror image with
E_k = W (I − V_k V_kᵀ), B = Wᵀ G W and A. The same block sum serves every projection on nested left
subspaces, E_k = (I − U_k U_kᵀ) W, whatever weighted SVD W D = U Σ Vᵀ they come from: for out ≤ in
as above, and for out > in, where G itself is not held, with

    Uᵀ C U = (UᵀW) A (UᵀW)ᵀ     and     Uᵀ G U = Σ⁻¹ Vᵀ D B D V Σ⁻¹.

These sums need not fall with every k: a truncation that is best in one norm can, for a while, get
worse in another.
"""

from jaxtyping import Float
from torch import Tensor

from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import tail_sums


def kronecker_unit(statistics: LayerStatistics) -> float:
    """1 / (2 N T)."""
    return 1 / (2 * statistics.examples * statistics.tokens)


def trailing_block_sums(
    first: Float[Tensor, "r r"], second: Float[Tensor, "r r"]
) -> Float[Tensor, "r_plus_1"]:
    """Σ_{i,j>k} first_ij second_ij of two symmetric matrices for k = 0..r."""
    products = first * second
    borders = products.diagonal() + 2 * products.triu(1).sum(1)
    return tail_sums(borders).clamp(min=0)
