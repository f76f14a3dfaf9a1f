"""The two kinds of Fisher information against their definitions."""

import torch
from torch import Tensor

from core.compression.statistics.fisher_loss import classification_loss, fisher_loss
from core.compression.statistics.statistics_pass import StatisticsPass
from core.recipe.statistics import Statistic
from tests.compression.statistics.oracle import make_examples, padded, targets, tiny_bert

FISHER = frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT})


def squared_gradients(logits: Tensor, losses: Tensor) -> Tensor:
    """The squared gradient of every example's own loss at its logits, [batch, classes]."""
    (gradient,) = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
    return gradient.square()


def expected_squares(logits: Tensor) -> Tensor:
    """Σ_y p_y (∂ −log p_y / ∂z)²."""
    probabilities = logits.detach().softmax(1)
    return sum(
        probabilities[:, [label]] * squared_gradients(logits, -logits.log_softmax(1)[:, label])
        for label in range(logits.shape[1])
    )


def test_empirical_is_the_loss_at_the_labels() -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    labels = torch.tensor([0, 2, 1, 1, 0])
    expected = -logits.log_softmax(1)[torch.arange(5), labels]
    torch.testing.assert_close(fisher_loss(logits, labels, "empirical"), expected)


def test_true_is_the_expectation_for_two_classes() -> None:
    logits = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    losses = fisher_loss(logits, torch.zeros(7, dtype=torch.long), "true")
    torch.testing.assert_close(squared_gradients(logits, losses), expected_squares(logits))


def test_true_is_unbiased_for_more() -> None:
    logits = torch.tensor([[0.3, -1.0, 0.9]], dtype=torch.float64).repeat(20_000, 1)
    logits.requires_grad_()
    losses = fisher_loss(logits, torch.zeros(20_000, dtype=torch.long), "true", seeded(1))
    sampled = squared_gradients(logits, losses).mean(0)
    torch.testing.assert_close(sampled, expected_squares(logits)[0], rtol=0.03, atol=0)


def test_the_generator_decides_the_draw() -> None:
    logits, labels = torch.randn(50, 3), torch.zeros(50, dtype=torch.long)
    first, again, other = (fisher_loss(logits, labels, "true", seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_pass_takes_the_true_fisher_in_one_backward() -> None:
    model, examples = tiny_bert(classes=2), make_examples(4, classes=2)
    batch = padded(examples, 8)
    with StatisticsPass(model, dict.fromkeys(targets(model), FISHER)) as statistics_pass:
        statistics_pass.update(batch, classification_loss("true"))
        found = statistics_pass.statistics()
    for name, linear in targets(model).items():
        fisher = torch.zeros_like(linear.weight)
        for example in examples:
            log_p = model(example["input_ids"]).logits.log_softmax(1)[0]
            for y in range(2):
                (g,) = torch.autograd.grad(-log_p[y], linear.weight, retain_graph=True)
                fisher += log_p[y].exp().detach() * g.square()
        torch.testing.assert_close(found[name][Statistic.FISHER_IN], fisher.sum(0))
        torch.testing.assert_close(found[name][Statistic.FISHER_OUT], fisher.sum(1))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
