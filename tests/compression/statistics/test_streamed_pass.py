"""The streamed pass against the whole model's."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.compression.layer_statistics import LayerStatistics
from core.compression.statistics.fisher_loss import Loss, classification_loss
from core.compression.statistics.layer_estimator import LayerEstimator
from core.compression.statistics.statistics_pass import Requirements, StatisticsPass
from core.compression.statistics.streamed_pass import StreamedPass
from core.compression.tasks.batches import Batch, reading_batches
from core.errors import ModelError, NumericalError
from core.recipe.statistics import FisherKind, Statistic
from tests.compression.statistics.oracle import EVERYTHING, make_examples, padded, tiny_bert
from tests.compression.tasks.tiny_tasks import tiny_task

FORWARD_ONLY = frozenset({Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAM})
Update = Callable[[Batch, Loss], None]


def encoder_layers(model: nn.Module) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layer" in name
    ]


def streamed(
    model: nn.Module, asked: Requirements, folder: Path, show: Callable[[Update], None]
) -> dict[str, LayerStatistics]:
    found: dict[str, LayerStatistics] = {}
    with StreamedPass(model, asked, folder) as streamed_pass:
        show(streamed_pass.update)
        for block in streamed_pass.blocks():
            found |= block
    return found


def whole(
    model: nn.Module, asked: Requirements, show: Callable[[Update], None]
) -> dict[str, LayerStatistics]:
    with StatisticsPass(model, asked) as statistics_pass:
        show(statistics_pass.update)
        return statistics_pass.statistics()


def assert_equal(found: dict[str, LayerStatistics], expected: dict[str, LayerStatistics]) -> None:
    assert found.keys() == expected.keys()
    for name, layer in expected.items():
        assert (found[name].examples, found[name].tokens) == (layer.examples, layer.tokens)
        assert found[name].sums.keys() == layer.sums.keys()
        for statistic, total in layer.sums.items():
            torch.testing.assert_close(found[name][statistic], total, rtol=1e-10, atol=1e-12)
            assert float(total.abs().max()) > 1e-6
        assert found[name].traces == pytest.approx(layer.traces)
        assert found[name].reliability == pytest.approx(layer.reliability)


@pytest.mark.parametrize("asked", [EVERYTHING, FORWARD_ONLY, frozenset({Statistic.FISHER_IN})])
def test_an_encoders_sums_are_the_whole_passs(asked: frozenset[Statistic], tmp_path: Path) -> None:
    model, examples = tiny_bert(), make_examples()
    wanted = dict.fromkeys(encoder_layers(model), asked)

    def show(update: Update) -> None:
        for some, length in ((examples[:2], 9), (examples[2:4], 8), (examples[4:], 7)):
            update(padded(some, length), classification_loss("empirical"))

    assert_equal(streamed(model, wanted, tmp_path, show), whole(model, wanted, show))


@pytest.mark.parametrize("kind", ["empirical", "true"])
@pytest.mark.parametrize("task", ["causal-lm", "token-classification", "embedding"])
def test_every_kind_of_loss_streams(task: str, kind: FisherKind, tmp_path: Path) -> None:
    """Sampled labels are drawn once, in the same order."""
    tiny = tiny_task(task, tmp_path, rows=9)
    wanted = dict.fromkeys(tiny.targets, EVERYTHING)

    def show(update: Update) -> None:
        generator = torch.Generator().manual_seed(2)
        for batch in reading_batches(tiny.examples, 3, "cpu"):

            def loss(model: nn.Module, _: object, batch: Batch = batch) -> torch.Tensor:
                return tiny.kind.fisher_losses(model, batch, kind, generator)

            update(batch.inputs, loss)

    found = streamed(tiny.model, wanted, tmp_path / "streams", show)
    assert_equal(found, whole(tiny.model, wanted, show))


def test_one_block_is_held_at_a_time(tmp_path: Path) -> None:
    model = tiny_bert()
    wanted = dict.fromkeys(encoder_layers(model), EVERYTHING)
    with StreamedPass(model, wanted, tmp_path) as streamed_pass:
        streamed_pass.update(padded(make_examples(), 9), classification_loss("empirical"))
        for layers in streamed_pass.blocks():
            assert len(layers) == 6
            gc.collect()
            alive = sum(type(each) is LayerEstimator for each in gc.get_objects())
            assert alive <= 2 * 6, "two halves of one block"
    assert not list(tmp_path.glob("[0-9]*")), "streams that were read are removed"


def test_the_model_is_as_it_was(tmp_path: Path) -> None:
    model = tiny_bert().train()
    wanted = dict.fromkeys(encoder_layers(model), EVERYTHING)
    batch = padded(make_examples(), 9)
    with StreamedPass(model, wanted, tmp_path) as streamed_pass:
        streamed_pass.update(batch, classification_loss("empirical"))
        list(streamed_pass.blocks())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    hooks = [
        hook
        for module in model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    assert not hooks


def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    model = tiny_bert()
    wanted = dict.fromkeys(encoder_layers(model), EVERYTHING)
    with (
        StreamedPass(model, wanted, tmp_path) as streamed_pass,
        pytest.raises(NumericalError, match="not finite"),
    ):
        streamed_pass.update(
            padded(make_examples(), 9),
            lambda model, batch: classification_loss("empirical")(model, batch) * float("nan"),
        )


@pytest.mark.parametrize(
    "layers",
    [["classifier"], ["bert.encoder.layer.0.output.dense"]],
    ids=["outside the blocks", "too few blocks"],
)
def test_layers_outside_a_list_of_blocks_are_refused(layers: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="block") as refused:
        StreamedPass(tiny_bert(), dict.fromkeys(layers, EVERYTHING), tmp_path)
    assert refused.value.pointer == "/calibration/streamed"
