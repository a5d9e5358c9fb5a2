"""The code in docs/ runs and prints what the pages say; links lead somewhere.

What a page may do:

- A page's blocks run from top to bottom, in one namespace and an empty folder, once on each database:
  ``"runs.db"`` in a block stands for the page's database. In the run on PostgreSQL it is replaced by a URL, as
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

import pytest

from fixtures.pages import Page, blocks_of, run_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# docs/cli.md is made from --help, and compared with it in tests/cli/test_reference.py.
PAGES = {str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*.md"))}
NOT_USED = {"bash", "sh", "shell", "py", "python3", "pycon", "mermaid", ""}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}


@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if any(block.runs for block in blocks_of(text))])
def test_the_blocks_of_a_page_run(page, backend_name, new_database, tmp_path, monkeypatch):
    """A page's blocks run in order and print what is said below them, on each database."""
    run_page(Page(page, TEXTS[page]), backend_name, new_database, tmp_path, monkeypatch)


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
