"""Help is laid out for the terminal that shows it, not for the source that says it."""

from meshnode.help_texts import reflowed


def test_the_lines_of_a_paragraph_are_joined() -> None:
    assert reflowed("Do it.\n\nIt is done\nat once.\n\nSo it is.") == (
        "Do it.\n\nIt is done at once.\n\nSo it is."
    )


def test_examples_and_lists_stay_as_they_are() -> None:
    text = "Do it.\n\n  meshnode do\n    --it\n\n- this\n- that"
    assert reflowed(text) == text
