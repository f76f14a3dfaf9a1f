"""Metrics of answers with one label each, from logits [n, classes]."""

import numpy as np
from numpy.typing import NDArray

from core.compression.metrics.metric import Metric, Rows, Values, of_sums, ratio

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


def log_softmax(logits: Logits) -> Logits:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def correct(logits: Logits, labels: Labels) -> Rows:
    """1 where the largest logit is the label's: [n]."""
    return np.asarray(logits.argmax(axis=1) == labels, dtype=np.float64)


def losses(logits: Logits, labels: Labels) -> Rows:
    """Cross-entropy: [n]."""
    return np.asarray(-log_softmax(logits)[np.arange(len(labels)), labels])


def divergences(dense: Logits, logits: Logits) -> Rows:
    """KL(dense ‖ model) of the two answers to each row: [n]."""
    reference = log_softmax(dense)
    return np.asarray((np.exp(reference) * (reference - log_softmax(logits))).sum(axis=-1))


def f1_of_second(answers: Labels, labels: Labels) -> Metric:
    """F1 of label 1: 2·TP / (2·TP + FP + FN), 0 where it is neither given nor asked."""
    hits = (answers == 1) & (labels == 1)
    return f1_of_counts("f1", np.stack([hits, answers == 1, labels == 1], axis=1))


def f1_of_counts(name: str, counts: NDArray[np.generic]) -> Metric:
    """F1 over all rows (micro), from each row's [found and true, found, true]: [n, 3]."""
    return of_sums(name, counts.astype(np.float64), f1_of_sums)


def f1_of_sums(sums: Values) -> Values:
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def matthews(answers: Labels, labels: Labels, classes: int) -> Metric:
    """Matthews correlation for any number of classes; 0 where one side is constant.

    Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """
    one_hot = np.eye(classes)
    parts = [(answers == labels)[:, None], one_hot[answers], one_hot[labels]]

    def value(sums: Values) -> Values:
        right, given, asked = sums[..., 0], sums[..., 1 : classes + 1], sums[..., classes + 1 :]
        n = asked.sum(axis=-1)
        covariance = right * n - (given * asked).sum(axis=-1)
        spreads = (n**2 - (given**2).sum(axis=-1)) * (n**2 - (asked**2).sum(axis=-1))
        return ratio(covariance, np.sqrt(np.maximum(spreads, 0)))

    return of_sums("matthews", np.concatenate(parts, axis=1).astype(np.float64), value)
