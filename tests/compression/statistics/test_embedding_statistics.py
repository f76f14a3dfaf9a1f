"""A token embedding's statistics against autograd, one unpadded example at a time, in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from transformers import LlamaConfig, LlamaForCausalLM

from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.compression.models.factorized import target_weight
from core.compression.statistics import embedding_sums, tokens
from core.compression.statistics.fisher_loss import Loss, classification_loss
from core.compression.statistics.nearest_kronecker import Kronecker, nearest_kronecker
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.statistics.tokens import Batch
from core.compression.tasks import batches as task_batches
from core.compression.tasks import next_tokens
from core.compression.tasks.examples import UNSCORED
from core.compression.tasks.registry import task_kind
from core.errors import ModelError, RecipeError
from core.recipe.methods import KfacConfig
from core.recipe.sources import PathDataset
from core.recipe.statistics import FisherKind, Statistic, two_sided
from core.recipe.task import CausalLm
from tests.compression.statistics.oracle import make_examples, padded, tiny_bert

BERT, LLAMA = "bert.embeddings.word_embeddings", "model.embed_tokens"
TWO_SIDED = frozenset(
    {
        Statistic.INPUT_GRAM,
        Statistic.OUTPUT_GRAM,
        Statistic.OUTPUT_GRAD_GRAM,
        Statistic.INPUT_GRAD_GRAM,
    }
)
VOCAB = 40


def language_model(tied: bool) -> nn.Module:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        tie_word_embeddings=tied,
        initializer_range=0.5,
    )
    model: nn.Module = LlamaForCausalLM(config).double().eval()
    return model


def next_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The sum over each example's tokens, padding left out."""
    ids = batch["input_ids"]
    mask = batch.get("attention_mask", torch.ones_like(ids))
    places = {"position_ids": batch["position_ids"]} if "position_ids" in batch else {}
    logits = model(input_ids=ids, attention_mask=mask, **places).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    both = mask[:, 1:] * mask[:, :-1]
    return (losses * both).sum(1)


def mean_of_tokens_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Reads every token, wherever padding stands."""
    inputs = {name: values for name, values in batch.items() if name != "labels"}
    hidden = model.bert(**inputs).last_hidden_state
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))[..., None]
    logits = model.classifier((hidden * mask).sum(1) / mask.sum(1))
    return cross_entropy(logits, batch["labels"], reduction="none")


@dataclass
class Seen:
    """One example: one-hot tokens, δ, h, the logits' gradients, and the table's gradient."""

    x: Tensor
    delta: Tensor
    h: Tensor | None
    logits: Tensor | None
    gradient: Tensor


def seen_by_autograd(model: nn.Module, name: str, example: Batch, loss: Loss) -> Seen:
    kept: dict[str, Tensor] = {}

    def keep_lookup(module: nn.Module, args: tuple[Tensor], y: Tensor) -> None:
        y.retain_grad()
        kept["y"] = y

    def keep_head(module: nn.Module, args: tuple[Tensor], z: Tensor) -> None:
        z.retain_grad()
        kept["h"], kept["z"] = args[0].detach(), z

    embedding, head = model.get_submodule(name), getattr(model, "lm_head", None)
    hooks = [embedding.register_forward_hook(keep_lookup)]
    tied = head is not None and head.weight is embedding.weight
    if tied:
        hooks.append(head.register_forward_hook(keep_head))
    model.zero_grad()
    loss(model, example).sum().backward()
    for hook in hooks:
        hook.remove()
    return Seen(
        one_hot(example["input_ids"][0], VOCAB).double(),
        kept["y"].grad[0],
        kept["h"][0] if tied else None,
        kept["z"].grad[0] if tied else None,
        embedding.weight.grad.clone(),
    )


def statistics_of(
    model: nn.Module, name: str, batches: list[Batch], asked: frozenset[Statistic], loss: Loss
) -> LayerStatistics:
    with StatisticsPass(model, {name: asked}) as statistics_pass:
        for batch in batches:
            statistics_pass.update(batch, loss)
        return statistics_pass.statistics()[name]


def two_batches(side: str = "right") -> list[Batch]:
    examples = make_examples()
    return [padded(examples[:3], 9, side), padded(examples[3:], 8, side)]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


CASES: dict[str, tuple[str, Callable[[], nn.Module], Loss]] = {
    "encoder": (BERT, tiny_bert, mean_of_tokens_loss),
    "untied head": (LLAMA, lambda: language_model(tied=False), next_token_loss),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_looked_up_table_is_a_layer_of_one_hot_tokens(case: str, side: str) -> None:
    name, make, loss = CASES[case]
    model = make()
    seen = [seen_by_autograd(model, name, example, loss) for example in make_examples()]
    w = model.get_submodule(name).weight.detach().T
    a = sum(each.x.T @ each.x for each in seen)
    g = sum(each.delta.T @ each.delta for each in seen)
    found = statistics_of(model, name, two_batches(side), frozenset(Statistic), loss)
    close(found[Statistic.INPUT_GRAM], a)
    close(found[Statistic.OUTPUT_GRAD_GRAM], g)
    close(found[Statistic.OUTPUT_GRAM], w @ a @ w.T)
    close(found[Statistic.INPUT_GRAD_GRAM], w.T @ g @ w)
    f = sum(each.gradient.square() for each in seen)
    close(found[Statistic.FISHER_IN], f.sum(1))
    close(found[Statistic.FISHER_OUT], f.sum(0))
    close(found[Statistic.FISHER], f.T)
    close(found[Statistic.INPUT_SUM], a.diagonal())
    close(found[Statistic.INPUT_ABS_SUM], a.diagonal())
    assert (found.examples, found.tokens) == (len(seen), int(a.sum()))
    assert found.traces[Statistic.INPUT_GRAM] == pytest.approx(float(a.trace()))
    assert found.traces[Statistic.OUTPUT_GRAD_GRAM] == pytest.approx(float(g.trace()))
    assert 0 < found.reliability[Statistic.OUTPUT_GRAD_GRAM] < 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_tied_table_counts_both_of_its_uses(side: str) -> None:
    """P ⊗ diag(q) is the nearest product to the sum of both uses' products, found by a dense SVD
    of the rearranged sum; the Fisher sums are those of autograd's own gradient of the table."""
    model = language_model(tied=True)
    seen = [seen_by_autograd(model, LLAMA, example, next_token_loss) for example in make_examples()]
    found = statistics_of(model, LLAMA, two_batches(side), frozenset(Statistic), next_token_loss)
    c = sum(each.x.sum(0) for each in seen)
    g = sum(each.delta.T @ each.delta for each in seen)
    h = sum(each.h.T @ each.h for each in seen)
    d = sum(each.logits.square().sum(0) for each in seen)
    u, s, vt = torch.linalg.svd(torch.outer(g.flatten(), c) + torch.outer(h.flatten(), d))
    q = vt[0].abs() * c.sum() / vt[0].abs().sum()
    p = (u[:, 0] * s[0] * vt[0].sum() / c.sum()).reshape(12, 12)
    w = model.get_submodule(LLAMA).weight.detach().T
    close(found[Statistic.INPUT_GRAM], torch.diag(q))
    close(found[Statistic.OUTPUT_GRAD_GRAM], p)
    close(found[Statistic.OUTPUT_GRAM], w * q @ w.T)
    close(found[Statistic.INPUT_GRAD_GRAM], w.T @ p @ w)
    f = sum(each.gradient.square() for each in seen)
    close(found[Statistic.FISHER_IN], f.sum(1))
    close(found[Statistic.FISHER_OUT], f.sum(0))
    close(found[Statistic.FISHER], f.T)
    close(found[Statistic.INPUT_SUM], c)
    close(found[Statistic.INPUT_ABS_SUM], c + h.trace() / 12)
    assert found.traces[Statistic.INPUT_GRAM] == pytest.approx(found.tokens)


@pytest.mark.parametrize("case", [*CASES, "tied head"])
def test_factors_are_the_optimum_of_the_weighted_error(case: str) -> None:
    """Against the dense SVD of P^½ W diag(q)^½; for a table that is only looked up the error is a
    sum over the tokens seen, (e_t − ê_t)ᵀ G (e_t − ê_t)."""
    tied = (LLAMA, lambda: language_model(tied=True), next_token_loss)
    name, make, loss = {**CASES, "tied head": tied}[case]
    model = make()
    asked = two_sided(12, VOCAB)
    found = statistics_of(model, name, two_batches(), asked, loss)
    everything = statistics_of(model, name, two_batches(), TWO_SIDED, loss)
    w = target_weight(model, name).detach()
    p, q = everything[Statistic.OUTPUT_GRAD_GRAM], everything[Statistic.INPUT_GRAM].diagonal()
    p_values, p_vectors = torch.linalg.eigh(p)
    p_root = p_vectors * p_values.clamp(min=0).sqrt() @ p_vectors.T
    best = torch.linalg.svdvals(p_root @ w * q.sqrt()).square()
    decomposition = decompose(name, w, found, KfacConfig(output_damping=0))
    for rank in (1, 4, 8, 12):
        factors = decomposition.truncate(rank)
        error = w - factors.product()
        if case == "tied head":
            lost = (p_root @ error * q.sqrt()).square().sum()
        else:
            seen = torch.cat([each["input_ids"][0] for each in make_examples()])
            lost = sum(error[:, token] @ p @ error[:, token] for token in seen)
        assert float(lost) == pytest.approx(float(best[rank:].sum()), abs=1e-9 * float(best.sum()))
        relative = decomposition.relative_error(factors)
        assert relative**2 == pytest.approx(float(lost / best.sum()), abs=1e-9)


def test_without_gradients_a_tied_heads_inputs_count_by_their_mean_energy() -> None:
    model = language_model(tied=True)
    seen = [seen_by_autograd(model, LLAMA, example, next_token_loss) for example in make_examples()]
    asked = frozenset({Statistic.OUTPUT_GRAM, Statistic.INPUT_GRAM})
    found = statistics_of(model, LLAMA, two_batches(), asked, next_token_loss)
    c = sum(each.x.sum(0) for each in seen)
    energy = sum(each.h.square().sum() for each in seen) / 12
    close(found[Statistic.INPUT_GRAM], torch.diag(c + energy))
    w = model.get_submodule(LLAMA).weight.detach().T
    close(found[Statistic.OUTPUT_GRAM], w @ torch.diag(c + energy) @ w.T)


def in_pieces(
    positions: int, kind: FisherKind, asked: frozenset[Statistic], patch: pytest.MonkeyPatch
) -> LayerStatistics:
    """By the task's own losses, whose head reads so many positions at once."""
    patch.setattr(next_tokens, "AT_ONCE", positions * VOCAB)
    task = task_kind(CausalLm(dataset=PathDataset(path="rows"), max_length=9))
    generator = torch.Generator().manual_seed(5)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, UNSCORED)
        made = task_batches.Batch(inputs, labels, np.arange(len(labels)))
        return task.fisher_losses(model, made, kind, generator)

    return statistics_of(language_model(tied=True), LLAMA, two_batches(), asked, loss)


def test_a_head_that_reads_in_pieces_counts_every_position_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three at a time, made again in the backward pass: as where the whole model is called."""
    everything = frozenset(Statistic)
    found = in_pieces(3, "empirical", everything, monkeypatch)
    model = language_model(tied=True)
    expected = statistics_of(model, LLAMA, two_batches(), everything, next_token_loss)
    assert found.tokens == expected.tokens
    for statistic in Statistic:
        close(found[statistic], expected[statistic])


@pytest.mark.parametrize("kind", ["empirical", "true"])
@pytest.mark.parametrize("more", [frozenset(), {Statistic.FISHER_IN}], ids=["forward", "both"])
def test_a_head_that_draws_labels_first_counts_once(
    kind: FisherKind, more: frozenset[Statistic], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = language_model(tied=True)
    seen = [seen_by_autograd(model, LLAMA, example, next_token_loss) for example in make_examples()]
    found = in_pieces(3, kind, frozenset({Statistic.INPUT_ABS_SUM}) | more, monkeypatch)
    counts = sum(each.x.sum(0) for each in seen)
    energy = sum(each.h.square().sum() for each in seen) / 12
    close(found[Statistic.INPUT_ABS_SUM], counts + energy)


def test_batches_of_any_size_sum_to_the_same() -> None:
    model = language_model(tied=True)
    examples = make_examples()
    alone = [padded([example], 9) for example in examples]
    everything = frozenset(Statistic)
    one = statistics_of(model, LLAMA, alone, everything, next_token_loss)
    other = statistics_of(model, LLAMA, [padded(examples, 9)], everything, next_token_loss)
    for statistic in Statistic:
        close(one[statistic], other[statistic])


def test_other_targets_are_seen_in_the_same_pass() -> None:
    name = "bert.encoder.layer.1.output.dense"
    loss = classification_loss("empirical")
    found = {}
    for targets in ([name], [name, BERT]):
        with StatisticsPass(tiny_bert(), dict.fromkeys(targets, TWO_SIDED)) as statistics_pass:
            for batch in two_batches():
                statistics_pass.update(batch, loss)
            found[len(targets)] = statistics_pass.statistics()[name]
    for statistic in TWO_SIDED:
        close(found[2][statistic], found[1][statistic])


def test_a_side_over_the_limit_keeps_its_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit at 11, dim 12 and vocab 40 both keep diagonals: those of the whole Grams."""
    model = language_model(tied=False)
    asked = frozenset({Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM})
    whole = statistics_of(model, LLAMA, two_batches(), asked, next_token_loss)
    for module in (tokens, embedding_sums):
        monkeypatch.setattr(module, "LARGEST_GRAM_SIDE", 11)
    found = statistics_of(model, LLAMA, two_batches(), asked, next_token_loss)
    for statistic in asked:
        close(found[statistic], whole[statistic].diagonal())
    assert found.traces == pytest.approx(whole.traces)


def test_an_embedding_that_scales_is_refused() -> None:
    class Scaled(nn.Embedding):
        def forward(self, ids: Tensor) -> Tensor:
            return 2 * super().forward(ids)

    with pytest.raises(ModelError, match="Scaled") as refused:
        StatisticsPass(nn.Sequential(Scaled(5, 3)), {"0": TWO_SIDED})
    assert refused.value.pointer == "/embeddings"


def test_a_statistic_without_a_form_for_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "core.compression.statistics.embedding_estimator.KNOWN", frozenset({Statistic.FISHER_IN})
    )
    with pytest.raises(RecipeError, match="output_gram") as refused:
        StatisticsPass(tiny_bert(), {BERT: frozenset({Statistic.OUTPUT_GRAM})})
    assert refused.value.pointer == "/embeddings"


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_product_is_nearer_than_any_other_tried(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def gram(n: int) -> Tensor:
        rows = torch.randn(n + 2, n, generator=generator, dtype=torch.float64)
        return rows.T @ rows

    terms = [Kronecker(gram(3), gram(4)) for _ in range(3)]
    total = sum(torch.kron(p, q) for p, q in terms)
    p, q = nearest_kronecker(terms, 7.0)
    assert float(q.trace()) == pytest.approx(7)
    assert torch.linalg.eigvalsh(p).min() > 0
    assert torch.linalg.eigvalsh(q).min() > 0
    distance = (total - torch.kron(p, q)).norm()
    for _ in range(50):
        noise = 0.05 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        assert (total - torch.kron(p + noise, q)).norm() > distance
        noise = 0.05 * torch.randn(4, 4, generator=generator, dtype=torch.float64)
        assert (total - torch.kron(p, q + noise)).norm() > distance


def test_one_use_is_its_own_nearest_product() -> None:
    p, q = torch.eye(2, dtype=torch.float64) * 3, torch.tensor([1.0, 3.0], dtype=torch.float64)
    found = nearest_kronecker([Kronecker(p, q), Kronecker(0 * p, 0 * q)], 4.0)
    close(found.p, p)
    close(found.q, q)
