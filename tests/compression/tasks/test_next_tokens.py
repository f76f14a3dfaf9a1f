"""Predictions in pieces against the logits of the whole model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div
from transformers import AutoModelForCausalLM, GPT2Config, MistralConfig, Qwen2Config

from core.compression.tasks import next_tokens
from core.compression.tasks.batches import Batch, make_batch
from core.compression.tasks.next_tokens import PLAIN_HEADS, Predictions
from tests.compression.tasks.tiny_tasks import tiny_task, uneven
from tests.compression.tiny_models import POSITIONS, WORDS, tiny_language_model

SIZES = {"vocab_size": len(WORDS), "max_position_embeddings": POSITIONS, "initializer_range": 0.4}
LLAMAS = {**SIZES, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def language_model(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if name == "llama":
        return tiny_language_model(seed, initializer_range=0.4).double().eval()
    config = {
        "gpt2": lambda: GPT2Config(**SIZES, n_embd=32, n_layer=2, n_head=4),
        "mistral": lambda: MistralConfig(**LLAMAS, **HEADS),
        "qwen2": lambda: Qwen2Config(**LLAMAS, **HEADS),
    }[name]()
    model: nn.Module = AutoModelForCausalLM.from_config(config).double().eval()
    return model


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three positions each, so that the last piece is a smaller one."""
    monkeypatch.setattr(next_tokens, "AT_ONCE", 3 * len(WORDS) + 1)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """With padding on the right."""
    examples = tiny_task("causal-lm", tmp_path).examples
    batch = make_batch(examples, uneven(examples), "cpu")
    assert batch.labels[:, 1:].numel() % 3
    return batch


@pytest.mark.parametrize("name", sorted(PLAIN_HEADS))
def test_pieces_are_the_whole_of_every_plain_head(name: str, batch: Batch) -> None:
    model = language_model(name)
    read = Predictions.of(model, batch.inputs).read(lambda logits: logits)
    expected = model(**batch.inputs).logits[:, :-1]
    torch.testing.assert_close(read, expected)
    assert float(expected.detach().std()) > 0.1


def test_an_unknown_head_is_left_to_the_model(batch: Batch) -> None:
    model = language_model("llama")
    model.config.model_type = "gemma2"  # type: ignore[union-attr]
    doubled = model.register_forward_hook(
        lambda _, args, answer: setattr(answer, "logits", 2 * answer.logits)
    )
    read = Predictions.of(model, batch.inputs).read(lambda logits: logits)
    doubled.remove()
    torch.testing.assert_close(read, 2 * model(**batch.inputs).logits[:, :-1])


def gradients(model: nn.Module, losses: Tensor) -> list[Tensor]:
    model.zero_grad()
    losses.sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_losses_and_their_gradients_are_those_of_whole_logits(batch: Batch) -> None:
    model, labels = language_model("llama"), batch.labels[:, 1:]
    found = Predictions.of(model, batch.inputs).losses(labels)
    logits = model(**batch.inputs).logits[:, :-1]
    expected = cross_entropy(logits.mT, labels, reduction="none", ignore_index=-100)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(gradients(model, found), gradients(model, expected), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_divergences_are_kl_to_dense(batch: Batch) -> None:
    dense, other = language_model("llama"), language_model("llama", seed=1)
    theirs, ours = (Predictions.of(model, batch.inputs) for model in (dense, other))
    p, q = (m(**batch.inputs).logits[:, :-1].log_softmax(-1) for m in (dense, other))
    expected = kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(ours.divergences(theirs), expected)
    assert float(ours.divergences(theirs).detach().mean()) > 0.1
    torch.testing.assert_close(theirs.divergences(theirs), torch.zeros_like(expected))


def test_drawn_tokens_follow_the_models_output(batch: Batch) -> None:
    """Frequencies over many draws; scored positions only enter the Fisher loss."""
    predictions = Predictions.of(language_model("llama"), batch.inputs)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([predictions.drawn(generator) for _ in range(400)])
    found = torch.nn.functional.one_hot(draws, len(WORDS)).double().mean(0)
    expected = predictions.read(lambda logits: logits.softmax(-1)).detach()
    assert float((found - expected).abs().max()) < 0.13
    assert len(np.unique(draws)) > 3


def test_no_tensor_of_all_logits_is_ever_made(batch: Batch) -> None:
    sizes: list[int] = []
    model = language_model("llama")
    head = model.get_output_embeddings()  # type: ignore[operator]
    head.register_forward_hook(lambda _, args, logits: sizes.append(len(logits)))
    Predictions.of(model, batch.inputs).losses(batch.labels[:, 1:]).sum().backward()
    positions = batch.labels[:, 1:].numel()
    assert max(sizes) == 3
    assert sum(sizes) == 2 * positions, "made once, and once more in the backward pass"
