"""φ: a sign, before anything is factorized, of where plain SVD will hurt.

Hua et al., EMNLP 2022. With the rows of F = Σ_examples (∂loss/∂W)², [out, in], brought to length
one and rows of zeros left out,

    φ(W) = population variance of all F_ij / ‖F_i‖   ≤   1/in − 1/in².

Rows whose weights matter alike (F constant along them) give 0: unweighted truncation then treats
them as they deserve. One weight per row that matters alone gives the upper bound; φ · in compares
layers of different shapes.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def phi(fisher: Float[Tensor, "out in"]) -> float:
    """0 where no row is left."""
    largest = fisher.amax(1, keepdim=True)
    rows = (fisher / largest)[largest[:, 0] > 0]
    if len(rows) == 0:
        return 0.0
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return float((rows / lengths).var(correction=0))
