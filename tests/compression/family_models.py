"""A tiny random model of every family, from its own transformers class."""

from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING

from core.planning.families import FAMILIES

WIDTH, INNER, BLOCKS = 24, 40, 2
BERT_SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
}
LLAMA_SIZES = {**BERT_SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}
ROBERTA_SIZES = {**BERT_SIZES, "pad_token_id": 1, "type_vocab_size": 1}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT_SIZES,
    "roberta": ROBERTA_SIZES,
    "xlm-roberta": ROBERTA_SIZES,
    "camembert": ROBERTA_SIZES,
    "electra": {**BERT_SIZES, "embedding_size": 16},
    "distilbert": {"dim": WIDTH, "hidden_dim": INNER, "n_layers": BLOCKS, "n_heads": 4},
    "albert": {**BERT_SIZES, "num_hidden_layers": 3, "embedding_size": 16, "inner_group_num": 2},
    "deberta-v2": {
        **BERT_SIZES,
        "relative_attention": True,
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
    "gpt2": {"n_embd": WIDTH, "n_inner": INNER, "n_layer": BLOCKS, "n_head": 4},
    "llama": LLAMA_SIZES,
    "mistral": LLAMA_SIZES,
    "qwen2": LLAMA_SIZES,
    "qwen3": {**LLAMA_SIZES, "head_dim": 8},
}
assert set(SIZES) == set(FAMILIES)
SAME_MODULES = {"xlm-roberta", "camembert"}
"""As RoBERTa, under another name."""


def family_config(family: str, words: int, **changes: Any) -> Any:
    own = {"initializer_range": 0.3, "max_position_embeddings": 40, **SIZES[family]}
    return CONFIG_MAPPING[family](vocab_size=words, **{**own, **changes})


def family_model(family: str, auto_class: str, words: int, seed: int = 7, **changes: Any) -> Any:
    torch.manual_seed(seed)
    config = family_config(family, words, **changes)
    model: nn.Module = getattr(transformers, auto_class).from_config(config).eval()
    return model
