"""docs/notebook.ipynb runs, and docs/notebook.md is made from it."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from fixtures.databases import BACKENDS

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


def test_it_runs(notebook, new_database, tmp_path):
    """Every cell runs, on each database; store, run, record and frames are tables, the plot is a picture."""
    copies = {kind: copy.deepcopy(notebook.cells) for kind in BACKENDS}
    for kind, cells in copies.items():
        (opens,) = [cell for cell in cells if '"trainstore.db"' in cell.source]
        opens.source = opens.source.replace('"trainstore.db"', repr(new_database(kind, migrated=False)))
    # One kernel for both: its start costs more than the notebook.
    notebook.cells = [cell for cells in copies.values() for cell in cells]
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    for kind, cells in copies.items():
        code = [cell for cell in cells if cell.cell_type == "code"]
        shown = {
            cell.source.splitlines()[-1]: {name for output in cell.outputs for name in output.get("data", {})}
            for cell in code
        }
        for source in ("store", "run", "best", 'store.list_runs(project="notebook", columns="short")'):
            assert "text/html" in shown[source], (kind, source)
        assert "image/png" in shown["plt.show()"], kind
        assert all(output.output_type != "stream" for cell in code for output in cell.outputs), kind
