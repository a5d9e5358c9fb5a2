"""What is done after a module was imported."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from trainstore.integrations.afterwards import after_import


def test_what_fails_does_not_fail_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another version of a library may lack what we look for: that is told, whether it is imported before or after."""
    name = "imported_afterwards"
    (tmp_path / f"{name}.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.delitem(sys.modules, name)

    def act(module: ModuleType) -> None:
        raise AttributeError(f"{module.__name__} has no writer")

    after_import(name, act)
    assert import_module(name).value == 1
    after_import(name, act)
    assert caplog.text.count(f"cannot record with this version of {name} (") == 2
