"""The README's code blocks run, and print what they say they print."""

from pathlib import Path

from fixtures.pages import Page, blocks_of, run_page

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_every_block_is_run_or_known_not_to_be():
    """No block of the README escapes: Python and SQL run, commands run or carry the reason; the rest is a picture."""
    blocks = blocks_of(TEXT)
    assert TEXT.count("```") == 2 * sum(not block.hidden for block in blocks)
    assert {block.language for block in blocks} <= {"python", "sql", "console", "text", "mermaid"}
    for language, least in (("python", 6), ("sql", 2)):
        found = [block for block in blocks if block.language == language]
        assert len(found) >= least
        assert all(block.runs_on("sqlite") for block in found)
    commands = [block for block in blocks if block.language == "console" and "trainstore " in block.code]
    assert all(block.runs or block.marks for block in commands)


def test_the_blocks_print_what_they_say(new_database, tmp_path, monkeypatch):
    """Run in order, in one namespace and an empty folder, every block prints the text below it."""
    run_page(Page("README.md", TEXT), "sqlite", new_database, tmp_path, monkeypatch)
