"""The pass against autograd, one unpadded example at a time."""

import gc

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.compression.layer_statistics import LayerStatistics, agreement
from core.compression.statistics import layer_estimator, tokens
from core.compression.statistics.fisher_loss import Loss, classification_loss
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.statistics.tokens import Batch, Tokens
from core.errors import ModelError, NumericalError
from core.recipe.statistics import Statistic, two_sided
from tests.compression.statistics.oracle import (
    EVERYTHING,
    make_examples,
    one_at_a_time,
    padded,
    targets,
    tiny_bert,
)

EMPIRICAL = classification_loss("empirical")
FISHER = frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT})


def on_mean_of_tokens(model: nn.Module, batch: Batch) -> Tensor:
    """A loss that reads every token, not the first position's alone."""
    inputs = {name: values for name, values in batch.items() if name != "labels"}
    hidden = model.bert(**inputs).last_hidden_state
    mask = batch["attention_mask"][..., None]
    logits = model.classifier((hidden * mask).sum(1) / mask.sum(1))
    return cross_entropy(logits, batch["labels"], reduction="none")


def statistics_of(
    model: nn.Module,
    batches: list[Batch],
    asked: frozenset[Statistic] = EVERYTHING,
    loss: Loss = EMPIRICAL,
) -> dict[str, LayerStatistics]:
    with StatisticsPass(model, dict.fromkeys(targets(model), asked)) as statistics_pass:
        for batch in batches:
            statistics_pass.update(batch, loss)
        return statistics_pass.statistics()


def assert_equal_sums(found: dict[str, LayerStatistics], other: dict[str, LayerStatistics]) -> None:
    for name, layer in found.items():
        assert (layer.examples, layer.tokens) == (other[name].examples, other[name].tokens)
        assert layer.sums.keys() == other[name].sums.keys()
        for statistic, total in layer.sums.items():
            torch.testing.assert_close(total, other[name][statistic], rtol=1e-9, atol=1e-12)
        assert layer.traces == pytest.approx(other[name].traces)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return tiny_bert()


def test_every_sum_is_autograds(model: nn.Module) -> None:
    examples = make_examples()
    expected = one_at_a_time(model, examples, EMPIRICAL)
    found = statistics_of(model, [padded(examples[:4], 9), padded(examples[4:], 8)])
    for name, sums in expected.items():
        for statistic, total in sums.items():
            torch.testing.assert_close(found[name][statistic], total, rtol=1e-9, atol=1e-12)
            assert total.abs().max() > 1e-4


@pytest.mark.parametrize("asked", [two_sided(1, 2), two_sided(2, 1)] + [{s} for s in EVERYTHING])
def test_each_is_the_same_asked_alone(model: nn.Module, asked: frozenset[Statistic]) -> None:
    batches = [padded(make_examples(), 9)]
    everything = statistics_of(model, batches)
    for name, layer in statistics_of(model, batches, frozenset(asked)).items():
        assert set(layer.sums) == set(asked)
        for statistic, total in layer.sums.items():
            torch.testing.assert_close(total, everything[name][statistic])


def test_counts_tokens_and_examples(model: nn.Module) -> None:
    examples = make_examples()
    found = statistics_of(model, [padded(examples, 9)])
    tokens = sum(example["input_ids"].numel() for example in examples)
    assert {layer.examples for layer in found.values()} == {6}
    assert found["bert.encoder.layer.0.attention.self.query"].tokens == tokens
    assert found["bert.pooler.dense"].tokens == 6


def test_keeps_the_traces_of_the_grams_it_does_not_keep(model: nn.Module) -> None:
    everything = statistics_of(model, [padded(make_examples(), 9)])
    for name, linear in targets(model).items():
        asked = two_sided(*linear.weight.shape)
        layer = statistics_of(model, [padded(make_examples(), 9)], asked)[name]
        for gram in (Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM):
            assert layer.traces[gram] == pytest.approx(float(everything[name][gram].trace()))


@pytest.mark.parametrize(("length", "side"), [(7, "left"), (13, "right"), (13, "left")])
def test_padding_counts_nowhere(model: nn.Module, length: int, side: str) -> None:
    examples, loss = make_examples(), on_mean_of_tokens
    reference = statistics_of(model, [padded(examples, 7)], loss=loss)
    found = statistics_of(model, [padded(examples, length, side)], loss=loss)
    del found["bert.pooler.dense"]  # reads the first position, whatever it is
    assert_equal_sums(found, reference)
    assert reference["bert.encoder.layer.1.output.dense"][Statistic.FISHER_IN].min() > 0


def test_unpadded_batches_need_no_mask(model: nn.Module) -> None:
    reference = statistics_of(model, [padded(make_examples(), 7)])
    alone = [{**example} for example in make_examples()]
    assert_equal_sums(statistics_of(model, alone), reference)


def test_shards_add_up(model: nn.Module) -> None:
    examples = make_examples(9)
    whole = statistics_of(model, [padded(examples, 8)])
    shards = [statistics_of(model, [padded(part, 8)]) for part in (examples[:2], examples[2:])]
    merged = {name: layer + shards[1][name] for name, layer in shards[0].items()}
    assert_equal_sums(merged, whole)


def test_reliability_is_how_well_every_second_batch_agrees(model: nn.Module) -> None:
    batches = [padded(make_examples(8)[start : start + 2], 8) for start in range(0, 8, 2)]
    halves = [statistics_of(model, batches[start::2]) for start in (0, 1)]
    for name, layer in statistics_of(model, batches).items():
        assert layer.reliability.keys() == layer.sums.keys()
        for statistic, reliability in layer.reliability.items():
            first, second = (half[name][statistic] / half[name].examples for half in halves)
            assert reliability == pytest.approx(agreement(first, second))
            assert 0 < reliability < 1


def test_one_batch_has_no_reliability(model: nn.Module) -> None:
    found = statistics_of(model, [padded(make_examples(), 8)])
    assert all(layer.reliability == {} for layer in found.values())


def test_agreement_is_one_for_equal_halves_and_zero_for_disjoint_ones() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert agreement(a, a) == 1
    assert agreement(a, b) == pytest.approx(0)
    assert agreement(a * 0, b * 0) == 1


def test_half_precision_is_summed_in_double() -> None:
    model = tiny_bert().to(torch.bfloat16)
    for layer in statistics_of(model, [padded(make_examples(), 8)]).values():
        assert {total.dtype for total in layer.sums.values()} == {torch.float64}


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_bert().train()
    model.bert.pooler.eval()
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    statistics_of(model, [padded(make_examples(), 8)])
    assert model.training
    assert not model.bert.pooler.training
    assert before == {n: parameter.requires_grad for n, parameter in model.named_parameters()}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_it_is_so_after_a_failure_too() -> None:
    model = tiny_bert().train()

    def failing(model: nn.Module, batch: Batch) -> Tensor:
        EMPIRICAL(model, batch)
        raise KeyError("labels")

    with pytest.raises(KeyError):
        statistics_of(model, [padded(make_examples(), 8)], loss=failing)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_dropout_is_off() -> None:
    model = tiny_bert().train()
    batch = padded(make_examples(), 8)
    assert_equal_sums(statistics_of(model, [batch]), statistics_of(model, [batch]))


def test_a_caller_without_gradients_gets_them_all_the_same(model: nn.Module) -> None:
    batch = padded(make_examples(), 8)
    with torch.no_grad():
        found = statistics_of(model, [batch])
    assert_equal_sums(found, statistics_of(model, [batch]))


def test_no_batch_outlives_its_update(model: nn.Module) -> None:
    """A ring between the graph and the hooks on it would not even be garbage-collected."""
    statistics_of(model, [padded(make_examples(), 8)])
    gc.collect()
    assert not [kept for kept in gc.get_objects() if type(kept) is Tokens]


class Stack(nn.Module):
    """Layers one after the other, on [batch, features]."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def sum_of_squares(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch["x"]).square().flatten(1).sum(1)


def fisher_of(model: nn.Module, names: list[str], batch: Batch) -> dict[str, LayerStatistics]:
    with StatisticsPass(model, dict.fromkeys(names, FISHER)) as statistics_pass:
        statistics_pass.update(batch, sum_of_squares)
        return statistics_pass.statistics()


def test_an_activation_in_place_after_a_target_does_no_harm() -> None:
    torch.manual_seed(0)
    linears = [nn.Linear(3, 4), nn.Linear(4, 2)]
    batch = {"x": torch.randn(5, 3)}
    names = ["layers.0", "layers.2"]
    found = fisher_of(Stack(linears[0], nn.ReLU(inplace=True), linears[1]), names, batch)
    expected = fisher_of(Stack(linears[0], nn.ReLU(), linears[1]), names, batch)
    assert_equal_sums(found, expected)


class Overwriting(Stack):
    def forward(self, x: Tensor) -> Tensor:
        y = self.layers[0](x)
        x.zero_()
        return y


def refused(model: nn.Module, names: list[str], batch: Batch, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fisher_of(model, names, batch)


def test_what_cannot_be_counted_is_refused_by_name() -> None:
    batch = {"x": torch.randn(5, 3)}
    refused(Stack(nn.Linear(3, 3), nn.ReLU()), ["layers.1"], batch, r"layers\.1' is a ReLU")
    refused(Overwriting(nn.Linear(3, 3)), ["layers.0"], batch, "in place")
    unused = Stack(nn.Linear(3, 3))
    unused.spare = nn.Linear(3, 3)
    refused(unused, ["spare"], batch, "spare was not used")


def test_positions_that_do_not_fit_the_mask_are_refused() -> None:
    batch = {"x": torch.randn(5, 4, 3), "attention_mask": torch.tensor([[1, 1, 0]] * 5)}
    refused(Stack(nn.Linear(3, 3)), ["layers.0"], batch, "4 positions")


def test_flattened_tokens_are_told_apart() -> None:
    """[batch · length, in], as mixture-of-experts blocks call their layers."""
    torch.manual_seed(0)
    linear, x = nn.Linear(3, 4), torch.randn(5, 2, 3)
    mask = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [1, 0]])

    class Flattening(Stack):
        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x.flatten(0, 1)).view(*x.shape[:2], -1)

    batch = {"x": x, "attention_mask": mask}
    found = fisher_of(Flattening(linear), ["layers.0"], batch)
    assert_equal_sums(found, fisher_of(Stack(linear), ["layers.0"], batch))


def test_a_loss_that_is_not_finite_stops_the_pass(model: nn.Module) -> None:
    def infinite(model: nn.Module, batch: Batch) -> Tensor:
        return EMPIRICAL(model, batch) / 0

    with pytest.raises(NumericalError, match="loss"):
        statistics_of(model, [padded(make_examples(), 8)], loss=infinite)


def test_a_sum_that_is_not_finite_names_the_layer() -> None:
    def enormous(model: nn.Module, batch: Batch) -> Tensor:
        return EMPIRICAL(model, batch) * 1e200

    with pytest.raises(NumericalError, match=r"bert\.encoder\.layer\.0.*fisher_in"):
        statistics_of(tiny_bert(), [padded(make_examples(), 8)], FISHER, enormous)


@pytest.mark.parametrize("limit", [11, 15])
def test_a_side_over_the_limit_keeps_the_diagonal_of_its_gram(
    model: nn.Module, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sides are 12 and 20; Fisher sums and traces stay what they are."""
    for module in (tokens, layer_estimator):
        monkeypatch.setattr(module, "LARGEST_GRAM_SIDE", limit)
    examples = make_examples()
    found = statistics_of(model, [padded(examples, 9)])
    for name, sums in one_at_a_time(model, examples, EMPIRICAL).items():
        for statistic, total in sums.items():
            is_gram = total.dim() == 2 and statistic != Statistic.FISHER
            large = is_gram and len(total) > limit
            expected = total.diagonal() if large else total
            torch.testing.assert_close(found[name][statistic], expected, rtol=1e-9, atol=1e-12)
