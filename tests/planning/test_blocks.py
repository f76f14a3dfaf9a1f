from core.planning.blocks import Block, blocks_of


def test_layers_are_parted_by_their_first_number() -> None:
    names = [
        "bert.encoder.layer.0.attention.self.query",
        "bert.encoder.layer.0.output.dense",
        "bert.encoder.layer.10.output.dense",
    ]
    assert blocks_of(names) == (
        Block("bert.encoder.layer.0", (names[0], names[1])),
        Block("bert.encoder.layer.10", (names[2],)),
    )


def test_a_number_inside_a_block_parts_nothing() -> None:
    names = ["model.layers.1.experts.0.up", "model.layers.1.experts.1.up"]
    assert blocks_of(names) == (Block("model.layers.1", tuple(names)),)


def test_a_layer_without_a_number_lies_in_no_block() -> None:
    assert blocks_of(["model.layers.0.up", "lm_head"]) is None
    assert blocks_of(["distilbert.lin1"]) is None
