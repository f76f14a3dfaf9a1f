"""The form of API keys, without a database."""

import re

import pytest

from core import keys


def test_keys_have_their_form_and_differ() -> None:
    tokens = {keys.generate() for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"rw_[0-9a-f]{16}_[0-9a-f]{64}_[0-9a-f]{8}", t) for t in tokens)


def test_parsing_gives_the_id_and_the_digest_that_is_stored() -> None:
    token = keys.generate()
    key = keys.parse(token)
    assert key is not None
    assert key.id == f"key_{token.split('_')[1]}"
    assert keys.matches(key, key.sha256)
    assert not keys.matches(key, "0" * 64)


def test_any_single_changed_digit_breaks_the_checksum() -> None:
    token = keys.generate()
    for position in range(3, len(token)):
        if token[position] != "_":
            other = "0" if token[position] != "0" else "1"
            assert keys.parse(token[:position] + other + token[position + 1 :]) is None


@pytest.mark.parametrize("text", ["", "rw_", "rw_1_2_3", "Bearer x", "rw_" + "é" * 90])
def test_other_text_is_no_key(text: str) -> None:
    assert keys.parse(text) is None


def test_trailing_line_break_is_no_key() -> None:
    assert keys.parse(keys.generate() + "\n") is None


def test_scopes_imply_the_narrower_ones() -> None:
    assert keys.implied(["admin"]) == {"read", "submit", "admin"}
    assert keys.implied(["submit"]) == {"read", "submit"}
    assert keys.implied(["read"]) == {"read"}
    assert keys.implied([]) == frozenset()
