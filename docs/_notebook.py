"""The page docs/notebook.md, from docs/notebook.ipynb: ``python docs/_notebook.py > docs/notebook.md``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")
LINK = "This page is a notebook: [notebook.ipynb](notebook.ipynb).\n"


def page(notebook: Path = NOTEBOOK) -> str:
    """The notebook's cells as Markdown, without outputs."""
    parts = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        parts.append(f"```python\n{source}\n```\n" if cell["cell_type"] == "code" else f"{source}\n")
        if len(parts) == 1:
            parts.append(LINK)
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
