"""Tiny random models with a vocabulary of their own, and texts that they learn in seconds."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from core.compression.workspace import Workspace
from core.recipe import Recipe

GOOD = ("great", "lovely", "superb", "fine", "happy")
BAD = ("awful", "nasty", "dull", "poor", "sad")
PLAIN = ("the", "film", "was", "a", "car", "and", "it", "very")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN)
POSITIONS = 32


def tiny_config(**overrides: Any) -> BertConfig:
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
    }
    return BertConfig(**{**sizes, **overrides})


def tiny_tokenizer(folder: Path) -> BertTokenizer:
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return BertTokenizer(vocab=str(vocabulary), model_max_length=POSITIONS)


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """A bare encoder, as pre-training leaves it: every head on it is new."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    BertModel(tiny_config()).save_pretrained(folder)
    tiny_tokenizer(folder).save_pretrained(folder)
    return folder


def save_classifier(folder: Path, label_names: tuple[str, ...], seed: int = 0) -> Path:
    """A classifier with a (random) head of these labels."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    labels = dict(enumerate(label_names))
    config = tiny_config(id2label=labels, label2id={name: n for n, name in labels.items()})
    BertForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer(folder).save_pretrained(folder)
    return folder


def tiny_language_model(seed: int = 0, **overrides: Any) -> LlamaForCausalLM:
    """A random Llama with grouped-query attention and tied embeddings."""
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **overrides}))


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Of a language model: a text ends with [SEP], and there is no padding token."""
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=POSITIONS,
    )


def save_language_model(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    tiny_language_model(seed).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def sentences(count: int, seed: int = 17) -> list[dict[str, str]]:
    """Texts of four plain words and two that give the label away; every third is bad."""
    chooser = random.Random(seed)
    rows = []
    for number in range(count):
        label, tone = ("bad", BAD) if number % 3 == 0 else ("good", GOOD)
        words = [*chooser.sample(PLAIN, chooser.randint(2, 6)), *chooser.sample(tone, 2)]
        chooser.shuffle(words)
        rows.append({"text": " ".join(words), "label": label})
    return rows


def pairs(count: int, seed: int = 17) -> list[dict[str, str]]:
    """Two texts; the label says whether the second one is good."""
    firsts, seconds = sentences(count, seed), sentences(count, seed + 1)
    return [
        {"first": a["text"], "second": b["text"], "label": b["label"]}
        for a, b in zip(firsts, seconds, strict=True)
    ]


def rated(count: int) -> list[dict[str, Any]]:
    """The number is how many more good words a text has than bad ones."""
    rows = sentences(count)
    return [{**row, "label": -2.0 if row["label"] == "bad" else 2.5} for row in rows]


def tagged(count: int) -> list[dict[str, Any]]:
    """Every word of tone is an entity."""
    rows = []
    for row in sentences(count):
        words, tone = row["text"].split(), f"B-{row['label']}"
        rows.append({"tokens": words, "tags": [tone if w in GOOD + BAD else "O" for w in words]})
    return rows


def cycles(count: int) -> list[dict[str, Any]]:
    """Each text goes round the plain words from where it begins: only that cannot be foreseen."""
    starts = random.Random(3).choices(range(len(PLAIN)), k=count)
    return [{"text": " ".join((*PLAIN[n:], *PLAIN[:n]))} for n in starts]


def questions(count: int) -> list[dict[str, Any]]:
    """The answer is the one word of tone in a context of two windows."""
    chooser = random.Random(5)
    rows = []
    for _ in range(count):
        words = [chooser.choice(PLAIN) for _ in range(30)]
        words.insert(chooser.randrange(30), chooser.choice(GOOD + BAD))
        answer = next(word for word in words if word in GOOD + BAD)
        start = len(" ".join(words[: words.index(answer)])) + (words.index(answer) > 0)
        answers = {"text": [answer], "answer_start": [start]}
        rows.append({"question": "was it", "context": " ".join(words), "answers": answers})
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_recipe(workspace: Workspace, **overrides: Any) -> Recipe:
    """Quick enough for a test: a few epochs of adaptation, one of distillation."""
    content: dict[str, Any] = {
        "model": {"type": "path", "path": str(workspace.model)},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "path", "path": str(workspace.dataset)},
            "max_length": 16,
        },
        "adaptation": {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3},
        "calibration": {"rows": 64, "batch_size": 16},
        "budget": {"type": "keep_ratio", "value": 0.4},
        "finetune": {"type": "distill", "epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
        "evaluation": {"bootstrap_samples": 100, "latency_repeats": 3},
    }
    return Recipe.model_validate_json(json.dumps(content | overrides))


def make_workspace(folder: Path, model: Path, dataset: Path, **overrides: Any) -> Workspace:
    directory = folder / "workspace"
    directory.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"cache": folder / "cache", "model": model, "dataset": dataset}
    return Workspace(directory, **{**content, **overrides})
