"""The plain text that is made of tagged words."""

from benchmarks.brown import plain_paragraph, plain_text


def test_tags_go_and_punctuation_closes_up() -> None:
    tagged = (
        "\tThe/at jury/nn (/( ``/`` no/at doubt/nn ''/'' )/) took/vbd ,/, 3/4/cd of/in it/ppo ./.\n"
    )
    assert plain_paragraph(tagged) == 'The jury ("no doubt") took, 3/4 of it.'


def test_sentences_are_joined_by_spaces_and_paragraphs_by_lines() -> None:
    tagged = "\n\n\tOne/cd ./.\n\tTwo/cd !/.\n\n\n\t--/-- Three/cd ?/.\n\n"
    assert plain_text(tagged) == "One. Two!\n-- Three?"


def test_the_same_mark_may_follow_itself() -> None:
    assert plain_paragraph("``/`` ``/`` A/at ''/'' ''/''") == '""A""'
