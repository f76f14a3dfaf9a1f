import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.compression.low_rank import Factors, LowRankLinear
from core.compression.low_rank_embedding import LowRankEmbedding
from core.compression.models.factorized import (
    dense_layers,
    low_rank_layers,
    put_empty,
    target_weight,
    ties,
)
from core.compression.models.layers import parameter_count, replace_layers, replaced_layers
from core.errors import ModelError
from tests.compression.tiny_models import WORDS, tiny_language_model

EMBEDDING = "model.embed_tokens"
VOCAB = len(WORDS)
IDS = torch.tensor([[4, 2, 0], [1, 1, 17]])


def factors(dim: int = 32, vocab: int = VOCAB, rank: int = 3) -> Factors:
    """Of a transposed table [dim, vocab]."""
    generator = torch.Generator().manual_seed(3)
    return Factors(
        torch.randn(dim, rank, generator=generator), torch.randn(rank, vocab, generator=generator)
    )


@pytest.mark.parametrize("padding_idx", [None, 0])
def test_looks_up_the_rows_of_its_product(padding_idx: int | None) -> None:
    embedding = LowRankEmbedding.from_factors(factors(), padding_idx)
    expected = F.embedding(IDS, factors().product().T)
    torch.testing.assert_close(embedding(IDS), expected)
    assert sum(p.numel() for p in embedding.parameters()) == factors().params


def test_a_padding_token_is_not_trained() -> None:
    embedding = LowRankEmbedding.from_factors(factors(), padding_idx=0)
    embedding(IDS).sum().backward()
    assert not embedding.outer.grad[0].any()
    assert embedding.outer.grad[4].any()


@pytest.mark.parametrize("rank", [1, 3])
def test_shares_nothing_with_the_factors(rank: int) -> None:
    made_from = factors(rank=rank)
    embedding = LowRankEmbedding.from_factors(made_from, None)
    with torch.no_grad():
        embedding.outer.zero_()
        embedding.inner.zero_()
    torch.testing.assert_close(made_from.product(), factors(rank=rank).product())


def test_a_tied_head_is_the_other_use_of_the_same_factors() -> None:
    model, dense = tiny_language_model(), tiny_language_model()
    replace_layers(model, low_rank_layers(model, EMBEDDING, factors(), None))
    with torch.no_grad():
        dense.get_input_embeddings().weight.copy_(factors().product().T)
        assert dense.lm_head.weight is dense.model.embed_tokens.weight
        torch.testing.assert_close(model(IDS).logits, dense(IDS).logits)
    assert isinstance(model.lm_head, LowRankLinear)
    assert ties(model) == {"lm_head": EMBEDDING}
    assert parameter_count(model) == parameter_count(dense) - VOCAB * 32 + factors().params


def test_a_tied_head_stays_tied_while_it_is_trained() -> None:
    model = tiny_language_model()
    replace_layers(model, low_rank_layers(model, EMBEDDING, factors(), None))
    model(IDS, labels=IDS).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model.lm_head.outer is model.model.embed_tokens.outer
    assert model.lm_head.inner is model.model.embed_tokens.inner


def test_a_head_of_its_own_stays_dense() -> None:
    model = tiny_language_model(tie_word_embeddings=False)
    put_empty(model, EMBEDDING, 3)
    assert isinstance(model.lm_head, nn.Linear)
    assert ties(model) == {}


def test_a_tables_weight_stands_as_dim_by_vocab() -> None:
    model = tiny_language_model()
    assert target_weight(model, EMBEDDING).shape == (32, VOCAB)
    torch.testing.assert_close(target_weight(model, EMBEDDING), model.lm_head.weight.T)


def test_an_embedding_that_shortens_its_rows_is_refused() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, max_norm=1.0))
    with pytest.raises(ModelError) as refused:
        put_empty(model, "0", 1)
    assert refused.value.pointer == "/embeddings"


def test_a_dense_table_of_another_weight_is_shared_with_its_head() -> None:
    model = tiny_language_model()
    layers = dense_layers(model, EMBEDDING, 2 * target_weight(model, EMBEDDING))
    assert set(layers) == {EMBEDDING, "lm_head"}
    expected = tiny_language_model()
    with torch.no_grad():
        expected.lm_head.weight.mul_(2)
        with replaced_layers(model, layers):
            assert model.lm_head.weight is model.model.embed_tokens.weight
            torch.testing.assert_close(model(IDS).logits, expected(IDS).logits)
        torch.testing.assert_close(model(IDS).logits, tiny_language_model()(IDS).logits)
    assert model.lm_head.weight is model.model.embed_tokens.weight
