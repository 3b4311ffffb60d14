"""The page of all commands is made from the command tree, and is current."""

from tests.cli.generate_commands import PAGE, page


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.cli.generate_commands"
