"""What methods that act at every step can do, and that a resumed one does the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.compression.finetuning.alternation import Alternation
from core.compression.finetuning.protocol import Hook, Training
from core.compression.finetuning.recomputation import recomputing
from core.compression.finetuning.score import Score
from core.compression.finetuning.training import Reports
from core.compression.models.factorized import factorized_layers
from core.compression.progress import Checkpointed, Notice, Progress, Structure
from core.compression.tasks.batches import make_batch
from core.compression.tasks.examples import Examples
from core.errors import ModelError
from core.recipe.events import LayerStructure
from tests.compression.finetuning.trainings import (
    CONFIG,
    factorized,
    finish,
    fresh,
    same,
    scripted,
    steps_of,
    task_loss,
    training,
)


class Shrinking(Hook):
    """Deletes the unit of least importance in every layer after each fourth step, down to 3."""

    def __init__(self) -> None:
        self.importance: dict[str, Tensor] = {}
        self.moments_followed = True

    def before_step(self, training: Training) -> None:
        for name, layer in factorized_layers(training.model).items():
            assert layer.inner.grad is not None
            now = (layer.inner * layer.inner.grad).detach().sum(1).abs()
            before = self.importance.get(name, torch.zeros_like(now))
            self.importance[name] = before.lerp(now, 0.15)

    def after_step(self, training: Training) -> None:
        if (training.step + 1) % 4 == 0:
            for name, layer in factorized_layers(training.model).items():
                if len(self.importance[name]) > 3:
                    self._delete(training, name, layer)

    def _delete(self, training: Training, name: str, layer: Any) -> None:
        kept = self.importance[name].argsort(descending=True)[:-1].sort().values
        moment = training.optimizer.state[layer.outer]["exp_avg"]
        outer = training.replace(layer.outer, lambda weight: weight[:, kept])
        training.replace(layer.inner, lambda weight: weight[kept])
        followed = training.optimizer.state[outer]["exp_avg"]
        self.moments_followed &= torch.equal(followed, moment[:, kept])
        self.importance[name] = self.importance[name][kept]

    @property
    def is_settled(self) -> bool:
        return all(len(units) == 3 for units in self.importance.values()) and bool(self.importance)

    def values(self) -> dict[str, float]:
        return {"units": float(sum(map(len, self.importance.values())))}

    def structure(self) -> list[LayerStructure]:
        return [LayerStructure(name=n, rank=len(u)) for n, u in self.importance.items()]

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self.importance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.importance = state["importance"]


def test_layers_shrink_with_their_moments_and_the_large_model_cannot_be_the_result(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    model, hook = factorized(folder), Shrinking()
    reports: list[Reports] = []
    config = CONFIG.model_copy(update={"validate_steps": 6})
    scores = scripted(*(Score(value, 0.0) for value in (0.9, 0.8, 0.3, 0.4)))
    work = training(model, examples, tmp_path / "c", config, validate=scores, hooks=[hook])
    report = finish(work, reports)
    assert hook.moments_followed
    assert report.best_step == 16
    assert {layer.inner.shape[0] for layer in factorized_layers(model).values()} == {3}
    structures = [r for r in reports if isinstance(r, Structure)]
    assert [s.layers[0].rank for s in structures][::4] == [6, 5, 4, 3]
    assert steps_of(reports)[0].values.keys() == {"loss", "learning_rate", "units"}


@pytest.mark.parametrize("step", [3, 5, 9, 14])
def test_a_resumed_run_with_hooks_equals_an_undisturbed_one(
    folder: Path, examples: Examples, tmp_path: Path, step: int
) -> None:
    def begun(checkpoints: Path) -> tuple[Any, Any]:
        model = factorized(folder)
        hooks = [Shrinking(), Alternation(3)]
        hooks[0].before_step = _of_learning(hooks[0])  # type: ignore[attr-defined,method-assign]
        return model, training(model, examples, checkpoints, every=0.0, hooks=hooks)

    expected, work = begun(tmp_path / "undisturbed")
    finish(work)
    _, work = begun(tmp_path / "c")
    while next(work) != Checkpointed(step):
        pass
    shutil.copytree(tmp_path / "c", tmp_path / "left behind")
    resumed, work = begun(tmp_path / "left behind")
    first = next(work)
    assert isinstance(first, Progress)
    finish(work)
    assert same(resumed, expected)


def _of_learning(hook: Shrinking) -> Any:
    """Importances where the inner factor rests are of the weights alone."""

    def before_step(training: Training) -> None:
        for name, layer in factorized_layers(training.model).items():
            grad = layer.inner.grad if layer.inner.grad is not None else layer.inner
            now = (layer.inner * grad).detach().sum(1).abs()
            hook.importance[name] = hook.importance.get(name, torch.zeros_like(now)).lerp(now, 0.15)

    return before_step


def test_one_factor_learns_at_a_time(folder: Path, examples: Examples, tmp_path: Path) -> None:
    model = factorized(folder)
    work = training(model, examples, tmp_path / "c", hooks=[Alternation(2)])
    layer = next(iter(factorized_layers(model).values()))
    moved = []
    outer, inner = layer.outer.detach().clone(), layer.inner.detach().clone()
    for report in work:
        if isinstance(report, Progress) and report.unit == "step" and len(moved) < 6:
            moved.append((not torch.equal(layer.outer, outer), not torch.equal(layer.inner, inner)))
            outer, inner = layer.outer.detach().clone(), layer.inner.detach().clone()
    assert moved == [(True, False)] * 2 + [(False, True)] * 2 + [(True, False)] * 2
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_computing_activations_again_changes_no_gradient(folder: Path, examples: Examples) -> None:
    batch = make_batch(examples, np.arange(10), "cpu")
    found = []
    for wanted in (False, True):
        model = fresh(folder).train()
        torch.manual_seed(3)
        with recomputing(model, wanted, "/finetune"):
            task_loss(model, batch).sum().backward()  # type: ignore[no-untyped-call]
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    with (
        pytest.raises(ModelError) as refused,
        recomputing(torch.nn.Linear(2, 2), True, "/finetune"),
    ):
        pass
    assert refused.value.pointer == "/finetune/gradient_checkpointing"


def test_bfloat16_on_a_cpu_is_said_and_computes_in_float32(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    plain, asked = fresh(folder), fresh(folder)
    finish(training(plain, examples, tmp_path / "a"))
    reports: list[Reports] = []
    config = CONFIG.model_copy(update={"precision": "bfloat16"})
    finish(training(asked, examples, tmp_path / "b", config), reports)
    assert same(plain, asked)
    assert any(isinstance(r, Notice) and "float32" in r.message for r in reports)


@pytest.mark.parametrize("damage", ["other input", "cut off", "no best"])
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_reason(
    folder: Path, examples: Examples, tmp_path: Path, damage: str
) -> None:
    expected = fresh(folder)
    finish(training(expected, examples, tmp_path / "undisturbed"))
    work = training(fresh(folder), examples, tmp_path / "c", every=0.0, fingerprint="a" * 64)
    while next(work) != Checkpointed(5):
        pass
    work.close()
    file = tmp_path / "c" / "last.pt"
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:1000])
    if damage == "no best":
        for best in (tmp_path / "c").glob("best-*"):
            best.unlink()
    again = fresh(folder)
    fingerprint = ("b" if damage == "other input" else "a") * 64
    reports: list[Reports] = []
    finish(training(again, examples, tmp_path / "c", fingerprint=fingerprint), reports)
    reason = {"other input": "other input", "cut off": "cannot be read", "no best": "not there"}
    assert isinstance(reports[0], Notice)
    assert reason[damage] in reports[0].message
    assert same(again, expected)
