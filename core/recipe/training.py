"""How weights are trained: task adaptation, calibration, recovery fine-tuning, evaluation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.recipe.config import Array, Config, refusal
from core.recipe.statistics import FisherKind, Statistic

Adapt = Literal["auto", "always", "never"]
ScheduleName = Literal["linear", "cosine", "constant"]
Precision = Literal["float32", "bfloat16"]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class TrainingConfig(Config):
    """AdamW with warm-up and decay. The defaults are the papers' (lr 2e-5, batch 32)."""

    epochs: int = Field(default=3, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=4096)
    accumulation: int = Field(default=1, ge=1, le=1024)
    """Gradient accumulation: a step's batch is taken in this many parts."""
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    schedule: ScheduleName = "linear"
    """How the learning rate goes after its warm-up: to zero by a line or half a cosine, or not."""
    warmup_ratio: float = Field(default=0.06, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients of a larger norm, over all parameters, are scaled down to it."""
    precision: Precision = "float32"
    """`bfloat16`: losses by autocast, on GPUs only; weights and validation stay float32."""
    gradient_checkpointing: bool = False
    """Activations inside a block are computed again, not kept: less memory, a third more work."""
    validate_steps: int | None = Field(default=None, ge=1)
    """The validation split scores the model after so many steps; null: after every epoch."""
    patience: int | None = Field(default=None, ge=1)
    """Training ends after so many validations without a better score; null: never early."""
    checkpoint_seconds: int = Field(default=60, ge=1)
    """A training checkpoint is written at least this often,"""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """and after so many steps; null: by time alone."""


class TakenToo(Config):
    """Statistics by the shape of a layer; they change no result."""

    wide: Array[Statistic] = ()
    """Of layers with no more outputs than inputs."""
    tall: Array[Statistic] = ()
    """Of all others."""

    def of(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        return frozenset(self.wide if out_features <= in_features else self.tall)


class CalibrationConfig(Config):
    """The examples that statistics are summed over: the first `rows` of the train split's order."""

    rows: int | None = Field(default=1024, ge=2)
    """None takes the whole train split."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    fisher: FisherKind = "empirical"
    """`empirical`: gradients at the true labels; `true`: in expectation over the model's output."""
    phi: bool = False
    """Take the Fisher of every single weight, and tell from it where plain SVD will hurt (φ)."""
    also: TakenToo = TakenToo()
    """Statistics beside what the method needs: jobs of other methods find them in the cache."""
    streamed: bool = False
    """Block by block: memory holds the model and one block's statistics, for a third more work and
    disk space for every block's inputs."""


class NoFinetune(Config):
    """Leave the factorized model as it is."""

    type: Literal["none"] = "none"


class RecoveryConfig(TrainingConfig):
    """Training of a factorized model; never ends below where it started."""

    balance: bool = False
    """Before the first step both factors of a layer get the same singular values."""


class DistillationConfig(RecoveryConfig):
    """The dense model as teacher (logits and hidden states), beside the task's labels."""

    temperature: float = Field(default=2.0, gt=0, le=100)
    task_weight: float = Field(default=0.5, ge=0)
    logits_weight: float = Field(default=0.5, ge=0)
    hidden_weight: float = Field(default=1.0, ge=0)


class PlainFinetune(RecoveryConfig):
    """Fine-tune the factors on the task loss, as the papers do."""

    type: Literal["plain"] = "plain"


class DistillFinetune(DistillationConfig):
    """Fine-tune the factors with the dense model as teacher."""

    type: Literal["distill"] = "distill"


class AlternatingFinetune(DistillationConfig):
    """Distillation into one factor of each layer at a time: the outer ones, then the inner ones.

    What belongs to no factor (biases, norms, the head) trains all the time.
    """

    type: Literal["alternating"] = "alternating"
    turn_steps: int = Field(default=20, ge=1)
    """Steps on the outer factors, then as many on the inner ones."""


class MixedRankFinetune(RecoveryConfig):
    """From sparse to low rank: each matrix takes its pruned weights with a probability that falls
    to zero, else its factors; two such passes shall agree. Of `lpaf` only.
    """

    type: Literal["mixed_rank"] = "mixed_rank"
    sparse_probability: float = Field(default=0.5, gt=0, le=1)
    """p_0: how often a matrix takes its pruned weights at first."""
    low_rank_share: float = Field(default=0.25, gt=0, lt=1)
    """The share of all steps at the end that know factors only: p_t falls by a line until there."""
    consistency: float = Field(default=1.0, ge=0)
    """α: the weight of the symmetric KL divergence between a step's two passes."""
    sparse_weights: Literal["trainable", "frozen"] = "trainable"
    """Whether the pruned weights that are left learn too; pruned ones stay zero."""

    @model_validator(mode="after")
    def _paths_are_not_taken_twice(self) -> Self:
        if self.gradient_checkpointing:
            raise refusal(
                "/gradient_checkpointing",
                "must be false: a block computed again could take another path",
            )
        return self


Finetune = Annotated[
    NoFinetune | PlainFinetune | DistillFinetune | AlternatingFinetune | MixedRankFinetune,
    Field(discriminator="type"),
]


class EvaluationConfig(Config):
    """How the dense, the factorized and the fine-tuned model are compared, on the same rows."""

    split: Literal["test", "validation"] = "test"
    """`validation` where jobs are there to be chosen from: the test split is read by the one that
    was chosen."""

    batch_size: int = Field(default=64, ge=1, le=4096)
    bootstrap_samples: int = Field(default=2000, ge=100, le=100_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    changed_answers: int = Field(default=50, ge=0, le=1000)
    """Rows that the result answers differently from the dense model, kept to be read, with their
    texts; 0 keeps none."""
    latency_batch: int = Field(default=8, ge=1, le=1024)
    latency_repeats: int = Field(default=20, ge=3, le=1000)
