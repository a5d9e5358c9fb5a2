"""``trainstore.json``: the file inside a checkpoint's folder that names the run, where the checkpoint itself cannot.

It is written beside itself and renamed, so it is whole or not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "trainstore.json"


def write_bookmark(checkpoint: Path, content: Mapping[str, Any]) -> None:
    """Put the file into a checkpoint. Raises OSError.

    Args:
        checkpoint: Its folder.
        content: What `json` can hold.
    """
    beside = checkpoint / f".{FILE}.{os.getpid()}"
    try:
        beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
        beside.replace(checkpoint / FILE)
    finally:
        beside.unlink(missing_ok=True)


def read_bookmark(checkpoint: Path) -> dict[str, Any]:
    """What the file in a checkpoint says; nothing if there is no such file, or if it cannot be read."""
    try:
        content = json.loads((checkpoint / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
