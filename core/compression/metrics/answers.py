"""Exact match and F1 of answers in words, normalized as SQuAD's own evaluation does.

Rajpurkar et al., SQuAD: 100,000+ questions for machine comprehension of text, EMNLP 2016.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Lower case, without punctuation, the articles a, an and the, or extra spaces."""
    words = answer.lower().translate(PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", words).split())


def exact_match(answer: str, gold: Sequence[str]) -> float:
    """1 where the answer is one of the right ones."""
    return float(any(normalized(answer) == normalized(right) for right in gold))


def word_f1(answer: str, gold: Sequence[str]) -> float:
    """F1 of the answer's words, the best over the right answers."""
    return max(_f1(normalized(answer).split(), normalized(right).split()) for right in gold)


def _f1(answer: list[str], right: list[str]) -> float:
    if not answer or not right:
        return float(answer == right)
    shared = sum((Counter(answer) & Counter(right)).values())
    return 2 * shared / (len(answer) + len(right))
