"""Shapes in annotations are checked while these tests run; small models and layers for them."""

from jaxtyping import install_import_hook

install_import_hook(
    [
        "core.compression.factorization",
        "core.compression.layer_statistics",
        "core.compression.linalg",
        "core.compression.low_rank",
        "core.compression.statistics",
    ],
    "beartype.beartype",
)
