"""One config class per compression method; the mathematics is in core/compression/factorization.

Every config names its paper, the statistics it asks of a layer, and whether its spectrum is already
in units of the loss. The union is tagged by ``type``; a contract test refuses a config without its
factorization and the reverse.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.recipe.config import Config
from core.recipe.dynamic_ranks import DynamicRanks
from core.recipe.pruning import Pruning
from core.recipe.statistics import Statistic, one_sided, two_sided


class MethodConfig(Config):
    """What all methods share. Subclasses set the class variables and a literal ``type``."""

    title: ClassVar[str]
    citation: ClassVar[str]
    summary: ClassVar[str]
    stages: ClassVar[tuple[str, ...]] = (
        "resolve",
        "adapt",
        "statistics",
        "plan",
        "factorize",
        "finetune",
        "evaluate",
        "export",
    )
    loss_unit: ClassVar[bool] = False
    """Whether truncated energy is itself a predicted loss increase (methods of a Fisher metric)."""
    nested: ClassVar[bool] = True
    """Whether factors of every rank are cut from one decomposition, whose spectrum is their error;
    otherwise each rank is solved for, and the spectrum's predicted increase is an upper bound."""
    finds_ranks: ClassVar[bool] = False
    """Whether ranks are found in training, and a plan from shapes tells no more than sizes."""
    refits: ClassVar[bool] = False
    """Whether its factors can be fitted anew to shifted inputs, see `refit`."""

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        """The statistics that the factorization of an [out, in] layer reads."""
        raise NotImplementedError


class SvdConfig(MethodConfig):
    """Truncated singular value decomposition: the unweighted baseline."""

    type: Literal["svd"] = "svd"

    title: ClassVar[str] = "SVD"
    citation: ClassVar[str] = "Eckart & Young, Psychometrika 1936"
    summary: ClassVar[str] = "Best rank-k approximation of each weight in the Frobenius norm."

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return frozenset()


class FwsvdConfig(MethodConfig):
    """Fisher-weighted SVD: rows of the error weighted by summed Fisher information."""

    type: Literal["fwsvd"] = "fwsvd"
    sides: Literal["input", "output", "both"] = "input"
    """`input` is the paper's: one weight per input feature, the Fisher summed over outputs."""

    title: ClassVar[str] = "FWSVD"
    citation: ClassVar[str] = (
        "Hsu et al., Language model compression with weighted low-rank factorization, ICLR 2022"
    )
    summary: ClassVar[str] = "SVD of the weight scaled by the square root of its summed Fisher."
    loss_unit: ClassVar[bool] = True

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return {
            "input": frozenset({Statistic.FISHER_IN}),
            "output": frozenset({Statistic.FISHER_OUT}),
            "both": frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT}),
        }[self.sides]


class SvdLlmConfig(MethodConfig):
    """Data-aware SVD: the best rank-k approximation of a layer's outputs on calibration data."""

    type: Literal["svd_llm"] = "svd_llm"
    input_damping: float = Field(default=0.0, ge=0, le=1)
    """ε_A: this multiple of mean(diag A) is added to the diagonal of A before its root."""

    title: ClassVar[str] = "SVD-LLM (DRONE)"
    citation: ClassVar[str] = "Wang et al., SVD-LLM, ICLR 2025; Chen et al., DRONE, NeurIPS 2021"
    summary: ClassVar[str] = "Minimizes ‖(W − Ŵ) A^½‖: the error of the layer's outputs."
    refits: ClassVar[bool] = True

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return one_sided(out_features, in_features)


class AsvdConfig(MethodConfig):
    """Activation-aware SVD: input features weighted by the mean size of their activations."""

    type: Literal["asvd"] = "asvd"
    alpha: float = Field(default=0.5, ge=0, le=1)
    """α: the power of mean |x| that weights an input feature; 0 is plain SVD."""

    title: ClassVar[str] = "ASVD"
    citation: ClassVar[str] = (
        "Yuan et al., ASVD: Activation-aware singular value decomposition for compressing large "
        "language models, 2023"
    )
    summary: ClassVar[str] = "SVD of the weight scaled by its inputs' mean size to the power α."

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return frozenset({Statistic.INPUT_ABS_SUM})


class BolacoConfig(MethodConfig):
    """Principal components of a layer's outputs; the bias makes up for what their mean loses."""

    type: Literal["bolaco"] = "bolaco"

    title: ClassVar[str] = "Bolaco (PCA of outputs)"
    citation: ClassVar[str] = (
        "Ji et al., Adaptive feature-based low-rank compression of large language models via "
        "Bayesian optimization, Findings of EMNLP 2024"
    )
    summary: ClassVar[str] = "Minimizes the variance that the layer's outputs lose."

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return one_sided(out_features, in_features) | {Statistic.INPUT_SUM}


class KfacConfig(MethodConfig):
    """Two-sided Kronecker-factored Fisher: errors weighted by inputs and by output gradients."""

    type: Literal["kfac"] = "kfac"
    input_damping: float = Field(default=0.0, ge=0, le=1)
    """ε_A: relative damping of the input side, before the root."""
    output_damping: float = Field(default=0.1, ge=0, le=1)
    """ε_G: relative damping of the output-gradient side, before the root."""

    title: ClassVar[str] = "Two-sided Kronecker Fisher"
    citation: ClassVar[str] = (
        "Kronecker-factored Fisher as in GFWSVD (2025) and OBD-LLM (2026); "
        "Martens & Grosse, ICML 2015"
    )
    summary: ClassVar[str] = "Minimizes ‖G^½ (W − Ŵ) A^½‖: a second-order model of the loss."
    loss_unit: ClassVar[bool] = True
    refits: ClassVar[bool] = True

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return two_sided(out_features, in_features)


class TfwsvdConfig(MethodConfig):
    """Element-wise Fisher weights: every entry of the error has its own."""

    type: Literal["tfwsvd"] = "tfwsvd"
    optimizer: Literal["als", "em", "sgd", "adam", "adam_sgd"] = "als"
    """`als` solves for one factor exactly while the other is held; `adam_sgd` is the paper's."""
    fisher_floor: float = Field(default=0.01, gt=0, le=1)
    """ε: this multiple of the layer's mean Fisher is added to each weight's."""
    tolerance: float = Field(default=1e-3, gt=0, lt=1)
    """A round that lowers the objective by a smaller share is the last but two."""
    max_rounds: int = Field(default=50, ge=1, le=100_000)
    """No more rounds: sweeps of `als` and `em`, fifty steps each of the others."""

    title: ClassVar[str] = "TFWSVD"
    citation: ClassVar[str] = (
        "Hua et al., Numerical optimizations for weighted low-rank estimation on language models, "
        "EMNLP 2022; EM: Srebro & Jaakkola, Weighted low-rank approximations, ICML 2003"
    )
    summary: ClassVar[str] = "Minimizes Σ F ∘ (W − Ŵ)² with the Fisher of every single weight."
    loss_unit: ClassVar[bool] = True
    nested: ClassVar[bool] = False

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return frozenset({Statistic.FISHER})


class LpafConfig(MethodConfig):
    """Low-rank prune-and-factorize: weights are pruned in training, then what is left factorized.

    Rebuilt from the paper's abstract. Its third part is `"finetune": {"type": "mixed_rank"}`.
    """

    type: Literal["lpaf"] = "lpaf"
    pruning: Pruning = Pruning()
    weights: Literal["counts", "scores", "fisher"] = "counts"
    """What a row's and a column's errors count by, summed over the weights that are left in it:
    one each, the size of their pruning scores, or the Fisher information."""

    title: ClassVar[str] = "LPAF"
    citation: ClassVar[str] = (
        "Ren & Zhu, Low-rank prune-and-factorize for language model compression, 2023 "
        "(rebuilt from its abstract)"
    )
    summary: ClassVar[str] = "First-order pruning, sparsity-aware SVD, mixed-rank fine-tuning."
    stages: ClassVar[tuple[str, ...]] = (
        "resolve",
        "adapt",
        "prune",
        "statistics",
        "plan",
        "factorize",
        "finetune",
        "evaluate",
        "export",
    )

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        sides = frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT})
        return sides if self.weights == "fisher" else frozenset()


class RankdynaConfig(MethodConfig):
    """Ranks fall during one round of fine-tuning, in all layers together, down to the budget.

    Rebuilt from the paper's and its patent's abstracts.
    """

    type: Literal["rankdyna"] = "rankdyna"
    training: DynamicRanks = DynamicRanks()

    title: ClassVar[str] = "RankDyna"
    citation: ClassVar[str] = (
        "Hua et al., Dynamic low-rank estimation for Transformer-based language models, Findings "
        "of EMNLP 2023 (rebuilt from its abstract)"
    )
    summary: ClassVar[str] = "Finds ranks across layers while the model learns the task."
    stages: ClassVar[tuple[str, ...]] = (
        "resolve",
        "adapt",
        "dynamic_ranks",
        "statistics",
        "plan",
        "factorize",
        "finetune",
        "evaluate",
        "export",
    )
    finds_ranks: ClassVar[bool] = True

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return frozenset()


Method = Annotated[
    SvdConfig
    | FwsvdConfig
    | TfwsvdConfig
    | AsvdConfig
    | SvdLlmConfig
    | BolacoConfig
    | KfacConfig
    | LpafConfig
    | RankdynaConfig,
    Field(discriminator="type"),
]

METHOD_CONFIGS: dict[str, type[MethodConfig]] = {
    config.model_fields["type"].default: config
    for config in (
        SvdConfig,
        FwsvdConfig,
        TfwsvdConfig,
        AsvdConfig,
        SvdLlmConfig,
        BolacoConfig,
        KfacConfig,
        LpafConfig,
        RankdynaConfig,
    )
}
