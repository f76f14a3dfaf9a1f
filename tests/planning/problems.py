"""Planning problems: layers, spectra, recipes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from core.planning.plan import Spectrum, TargetLayer
from core.recipe import Recipe

MINIMAL: dict[str, Any] = {
    "model": {"type": "path", "path": "model"},
    "task": {
        "type": "text-classification",
        "dataset": {"type": "path", "path": "texts.csv"},
    },
    "budget": {"type": "keep_ratio", "value": 0.3},
}


def recipe_with(**changes: Any) -> Recipe:
    return Recipe.model_validate_json(json.dumps({**MINIMAL, **changes}))


def layers_of(shapes: Sequence[tuple[int, int]]) -> tuple[TargetLayer, ...]:
    return tuple(TargetLayer(f"layer.{i}", *shape) for i, shape in enumerate(shapes))


def bert_base() -> tuple[TargetLayer, ...]:
    block = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
    return layers_of(block * 12)


def convex_spectrum(squared: ArrayLike) -> Spectrum:
    """Descending σ²; what is dropped is what is lost, as in every two-sided method."""
    values = np.sort(np.asarray(squared, dtype=np.float64))[::-1]
    return Spectrum(values, np.append(np.cumsum(values[::-1])[::-1], 0.0))


repeatable = settings(deadline=None, derandomize=True)
"""For property tests: the same examples in every run, however busy the machine."""

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
energies = st.one_of(st.just(0.0), st.floats(1e-6, 1e3))


Problem = tuple[tuple[TargetLayer, ...], dict[str, Spectrum]]


@st.composite
def problems(draw: st.DrawFn, convex: bool = True) -> Problem:
    """One to four small layers; curves of loss that are convex in rank, or any at all."""
    layers = layers_of(draw(st.lists(shapes, min_size=1, max_size=4)))
    spectra = {}
    for layer in layers:
        size = layer.full_rank
        values = draw(st.lists(energies, min_size=size, max_size=size))
        spectrum = convex_spectrum(values)
        if not convex:
            increase = draw(st.lists(energies, min_size=size + 1, max_size=size + 1))
            spectrum = Spectrum(spectrum.squared_singular_values, np.array(increase))
        spectra[layer.name] = spectrum
    return layers, spectra
