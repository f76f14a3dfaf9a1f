"""A tiny real BERT, and its statistics computed one example at a time, unpadded, by autograd."""

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from core.compression.statistics.fisher_loss import Loss
from core.compression.statistics.tokens import Batch
from core.recipe.statistics import Statistic

EVERYTHING = frozenset(Statistic)


def tiny_bert(classes: int = 3) -> nn.Module:
    """float64; linear layers 12 × 12, 20 × 12, 12 × 20, and a pooler without a token axis."""
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=40,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        num_labels=classes,
        initializer_range=0.4,
    )
    model: nn.Module = BertForSequenceClassification(config).double().eval()
    return model


def targets(model: nn.Module) -> dict[str, nn.Linear]:
    return {
        n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "classifier"
    }


def make_examples(count: int = 6, classes: int = 3) -> list[Batch]:
    """One example each, of different lengths, without padding."""
    generator = torch.Generator().manual_seed(8)
    return [
        {
            "input_ids": torch.randint(1, 40, (1, 3 + index % 5), generator=generator),
            "labels": torch.randint(0, classes, (1,), generator=generator),
        }
        for index in range(count)
    ]


def padded(examples: list[Batch], length: int, side: str = "right") -> Batch:
    """The examples as one batch; padding holds a real token's id, so that it would show."""
    rows: dict[str, list[Tensor]] = {"input_ids": [], "attention_mask": [], "position_ids": []}
    for example in examples:
        ids = example["input_ids"][0]
        missing = length - len(ids)
        both = (missing, 0) if side == "left" else (0, missing)
        for name, values, filling in (
            ("input_ids", ids, 7),
            ("attention_mask", torch.ones_like(ids), 0),
            ("position_ids", torch.arange(len(ids)), 0),
        ):
            rows[name].append(nn.functional.pad(values, both, value=filling))
    columns = {name: torch.stack(values) for name, values in rows.items()}
    return {**columns, "labels": torch.cat([example["labels"] for example in examples])}


def one_at_a_time(
    model: nn.Module, examples: list[Batch], loss: Loss
) -> dict[str, dict[Statistic, Tensor]]:
    """All sums for all targets."""
    model.eval()
    sums: dict[str, dict[Statistic, Tensor]] = {name: {} for name in targets(model)}
    for example in examples:
        for name, (x, y, delta, gradient) in seen_by_autograd(model, example, loss).items():
            weight = targets(model)[name].weight.detach()
            back = delta @ weight
            for statistic, value in {
                Statistic.INPUT_GRAM: x.T @ x,
                Statistic.OUTPUT_GRAM: y.T @ y,
                Statistic.OUTPUT_GRAD_GRAM: delta.T @ delta,
                Statistic.INPUT_GRAD_GRAM: back.T @ back,
                Statistic.FISHER: gradient.square(),
                Statistic.FISHER_IN: gradient.square().sum(0),
                Statistic.FISHER_OUT: gradient.square().sum(1),
                Statistic.INPUT_SUM: x.sum(0),
                Statistic.INPUT_ABS_SUM: x.abs().sum(0),
            }.items():
                sums[name][statistic] = sums[name].get(statistic, 0) + value
    return sums


def seen_by_autograd(
    model: nn.Module, example: Batch, loss: Loss
) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """x, y − b, δ by token, and the gradient at the weight, of one example."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    handles = []
    for name, linear in targets(model).items():

        def keep(module: nn.Module, args: tuple[Tensor], y: Tensor, name: str = name) -> None:
            inputs[name], outputs[name] = args[0].detach(), y
            y.retain_grad()

        handles.append(linear.register_forward_hook(keep))
    model.zero_grad()
    loss(model, example).sum().backward()
    for handle in handles:
        handle.remove()
    return {
        name: (
            inputs[name].flatten(0, -2),
            (outputs[name].detach() - linear.bias.detach()).flatten(0, -2),
            outputs[name].grad.flatten(0, -2),
            linear.weight.grad.clone(),
        )
        for name, linear in targets(model).items()
    }
