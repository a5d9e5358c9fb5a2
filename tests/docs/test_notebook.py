"""docs/notebook.ipynb runs, and docs/notebook.md is made from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def notebook():
    """The notebook as it is committed."""
    return nbformat.read(DOCS / "notebook.ipynb", as_version=4)


def test_it_is_committed_without_outputs(notebook):
    """No output, no count of executions: a difference shows what was written, not what was run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_page_is_made_from_it():
    """docs/notebook.md is what `make docs/notebook.md` writes."""
    spec = importlib.util.spec_from_file_location("docs_notebook", DOCS / "_notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "notebook.md").read_text(encoding="utf-8") == module.page()


def test_it_runs(notebook, empty_database_url, tmp_path):
    """In a kernel of its own every cell runs; store, run, record and frames are tables, the plot is a picture."""
    for cell in notebook.cells:
        cell.source = cell.source.replace('"runs.db"', repr(empty_database_url))
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = {
        cell.source.splitlines()[-1]: {kind for output in cell.outputs for kind in output.get("data", {})}
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    for source in ("store", "run", "best", 'store.list_runs(project="notebook", columns="short")'):
        assert "text/html" in shown[source], source
    assert "image/png" in shown["plt.show()"]
    assert all(output.output_type != "stream" for cell in notebook.cells for output in cell.get("outputs", []))
