"""The code in docs/ runs and prints what the pages say; links lead somewhere.

What a page may do:

- A page's blocks run from top to bottom, in one namespace and an empty folder, once on each database:
  ``"trainstore.db"`` in a block stands for the page's database. In the run on PostgreSQL it is replaced by a URL, as
  ``postgresql://user:password@host:5432/database`` is in every run. ``TRAINSTORE_URL`` names the page's database too.
- ``python``: run. A ``text`` block right below holds what it prints; ``…`` there stands for anything, runs of blanks
  are one.
- ``sql``: run on the page's database, a row a line, its values joined by ``|``. A ``text`` block below as above.
- ``console``: lines ``$ trainstore …``, also with ``NAME=value`` before it, ``$ export NAME=value``, and those of
  ``alembic`` (in the repository), ``psql``, ``pg_dump`` and ``pg_restore`` are run, other ``$`` lines are not. Lines
  without ``$`` are what the line above prints. ``bash`` and ``sh`` are not used.
- ``model``, ``train_dataset`` and ``eval_dataset`` are there (tiny ones) on a page that speaks of ``train_dataset``;
  ``database_url`` is the page's database.
- Any other language (``text``, ``toml`` …) is only shown. No ``mermaid``: the site would fetch its code from elsewhere.
- A picture is drawn by the page itself: a block saves ``loss.svg``, the page shows ``images/loss.svg``, and the two are
  compared. Hidden before it: ``matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "trainstore"})``.
  Pictures of the dashboard (``.png``) are made by ``make pictures``.
- Single backquotes for code; no HTML, no images from elsewhere, no links out of docs/ but ``https:`` ones.

A comment on a line of its own, right above a block (a blank line between is fine), says otherwise:

- ``<!-- sqlite -->`` or ``<!-- postgresql -->``: only in that database's run.
- ``<!-- fails -->``: its commands end with another exit code than 0, its Python raises; a ``text`` block below then
  holds ``Type: message``.
- ``<!-- not run: the reason -->``: not at all.

``<!-- hidden`` on a line, Python, and ``-->`` on a line is run like a ``python`` block and not shown.
``<!-- databases: sqlite -->`` anywhere on a page: it runs on that database only.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fixtures.pages import Page, blocks_of, run_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# docs/cli.md is made from --help, and compared with it in tests/cli/test_reference.py.
PAGES = {str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*.md"))}
NOT_USED = {"bash", "sh", "shell", "py", "python3", "pycon", "mermaid", ""}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}


def drawing(path: Path) -> tuple[list[str], list[float]]:
    """What a picture says, its tags and texts, and where its lines are."""
    tags, numbers = [], []
    for element in ElementTree.parse(path).getroot().iter():
        if "metadata" in element.tag or "dc/elements" in element.tag:
            continue  # when it was drawn, and by which matplotlib
        tags.append(f"{element.tag} {(element.text or '').strip()}")
        numbers += map(float, re.findall(r"-?\d+(?:\.\d+)?", element.get("d", "")))
    return tags, numbers


@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if any(block.runs for block in blocks_of(text))])
def test_the_blocks_of_a_page_run(page, backend_name, new_database, tmp_path, monkeypatch):
    """A page's blocks run in order, print what is said below them and draw what is shown, on each database."""
    run_page(Page(page, TEXTS[page]), backend_name, new_database, tmp_path, monkeypatch)
    for name in re.findall(r"!\[[^]]+\]\(images/([^)]+\.svg)\)", TEXTS[page]):
        drawn, shown = tmp_path / "page" / name, DOCS / "images" / name
        (tags, numbers), (shown_tags, shown_numbers) = drawing(drawn), drawing(shown)
        assert tags == shown_tags, f"{page} draws another docs/images/{name} now: {drawn}"
        assert numbers == pytest.approx(shown_numbers, abs=0.5), f"{page} draws another docs/images/{name} now: {drawn}"


def test_every_picture_is_on_a_page():
    """None is left over, and each has a text for those who cannot see it."""
    shown = {name for text in TEXTS.values() for name in re.findall(r"!\[[^]]+\]\(images/([^)]+)\)", text)}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}
    assert sum(text.count("![") for text in TEXTS.values()) == len(shown)


def test_no_block_escapes():
    """Each fence of docs/ is a block that the tests see, and none is of a language that looks run and is not."""
    for name, text in TEXTS.items():
        assert text.count("```") == 2 * sum(not block.hidden for block in blocks_of(text)), f"a lone fence in {name}"
        for block in blocks_of(text):
            assert block.language not in NOT_USED, f"{name}: {block}"


def test_no_link_leads_nowhere():
    """Every relative link names a file or folder that is there; those of docs/ stay inside docs/, as the site does."""
    for page in (*PAGES.values(), *ROOT.glob("*.md")):
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
            if page.is_relative_to(DOCS):
                assert (page.parent / target).resolve().is_relative_to(DOCS), f"{page.name}: not on the site: {target}"


def test_every_file_that_the_architecture_names_is_there():
    """A module that moves takes its signposts along."""
    folders = [ROOT / name for name in ("src", "migrations", "docs")]
    files = [path.relative_to(ROOT) for folder in folders for path in folder.rglob("*.*")]
    files += [path.relative_to(ROOT) for path in ROOT.glob("*.*")]
    named = set(re.findall(r"[\w*/.-]+\.(?:py|sql|toml|ini|md)\b", TEXTS["architecture.md"]))
    assert len(named) > 30
    assert [name for name in sorted(named) if not any(file.match(name) for file in files)] == []
