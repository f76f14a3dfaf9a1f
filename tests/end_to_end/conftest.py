"""A real service on its embedded default, a tiny BERT, and texts that it can learn."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.service import Service, running_service
from tests.end_to_end.client import Client

QUICK = {
    "RANKWISE_HEARTBEAT_S": "0.5",
    "RANKWISE_LEASE_S": "4",
    "RANKWISE_REAPER_S": "0.5",
    "RANKWISE_RING_AGAIN_S": "1",
    "RANKWISE_THREADS": "1",
    "RANKWISE_WEBHOOKS_ALLOW_PRIVATE": "true",
}
GOOD = ("great", "lovely", "superb", "fine", "happy")
BAD = ("awful", "nasty", "dull", "poor", "sad")
OTHER = ("the", "film", "was", "a", "car", "and", "it", "very")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one tiny BERT in it, saved as transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("models")
    vocabulary = folder / "vocab.txt"
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary.write_text("\n".join((*special, *GOOD, *BAD, *OTHER)) + "\n")
    config = BertConfig(
        vocab_size=len((*special, *GOOD, *BAD, *OTHER)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder / "tiny")
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "texts.csv"
    chooser = random.Random(17)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("text", "label"))
        for row in range(600):
            tone = GOOD if row % 2 else BAD
            words = [*chooser.sample(OTHER, 4), *chooser.sample(tone, 2)]
            chooser.shuffle(words)
            writer.writerow((" ".join(words), "good" if row % 2 else "bad"))
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), models, **QUICK) as running:
        yield running


@pytest.fixture
def client(service: Service, models: Path, texts: Path) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as http:
        yield Client(http, model=models / "tiny", texts=texts)
