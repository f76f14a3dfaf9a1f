import pytest

from core.errors import RecipeError
from core.planning.positions import longest_text, refuse_longer


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "deberta-v2", "max_position_embeddings": -1}, None),
        ({"model_type": "bert", "max_position_embeddings": True}, None),
        ({"model_type": "t5"}, None),
    ],
)
def test_the_config_tells_how_long(config: dict[str, object], longest: int | None) -> None:
    assert longest_text(config) == longest


def test_longer_texts_are_refused_by_their_field() -> None:
    refuse_longer(512, 512)
    refuse_longer(10**6, None)
    with pytest.raises(RecipeError, match="at most 512 tokens") as refused:
        refuse_longer(513, 512)
    assert refused.value.pointer == "/task/max_length"
