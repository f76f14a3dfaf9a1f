"""Fields that are not the same in all documents, named by JSON pointers."""

from core.reporting.differences import differences


def test_only_the_smallest_differing_fields_are_told() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "same": {"x": "y"}}
    other = {"a": {"b": 1.5, "c": [1, 2]}, "same": {"x": "y"}, "new/field": {"deep~er": None}}
    found = {each.pointer: each.values for each in differences([one, other, one])}
    assert found == {"/a/b": (1, 1.5, 1)}
    with_value = {**other, "new/field": {"deep~er": True}}
    (difference, added) = differences([one, with_value])
    assert difference.pointer == "/a/b"
    assert (added.pointer, added.values) == ("/new~1field/deep~0er", (None, True))


def test_equal_documents_have_none() -> None:
    assert differences([{"a": {}}, {"a": {}}]) == []
    assert [d.values for d in differences([{"a": {}}, {"a": {"b": 1}}])] == [({}, None), (None, 1)]
