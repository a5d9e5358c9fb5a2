"""What importing trainstore costs, and which room may know which."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "pandas", "numpy", "alembic", "sqlalchemy", "psycopg")


def test_import_is_light(start_script):
    """`import trainstore` in a fresh interpreter loads none of the large libraries."""
    script = start_script(
        f"""
        import sys
        import trainstore
        print([name for name in {HEAVY} if name in sys.modules])
        """,
        libraries=None,
    )
    assert script.finish() == ["[]"]


def test_public_names_load(start_script):
    """Every public name can be had from the package, and none of them needs torch or transformers."""
    script = start_script(
        """
        import sys
        import trainstore
        for name in trainstore.__all__:
            getattr(trainstore, name)
        print([name for name in ("torch", "transformers") if name in sys.modules])
        """,
        libraries=None,
    )
    assert script.finish() == ["[]"]


def test_only_the_server_needs_its_extra(start_script):
    """Reports and all else that is made of a store's answers load neither Starlette nor uvicorn."""
    script = start_script(
        """
        import sys
        import trainstore.cli.ui, trainstore.cli.report, trainstore.dashboard.answers, trainstore.dashboard.report
        print([name for name in ("starlette", "uvicorn", "anyio", "h11") if name in sys.modules])
        """,
        libraries=None,
    )
    assert script.finish() == ["[]"]


def test_the_callback_says_what_to_install(start_script):
    """Without transformers, or without torch, as with every adapter whose library is missing."""
    for library in ("transformers", "torch"):
        script = start_script(
            f"""
            import sys
            sys.modules["{library}"] = None
            from trainstore.integrations.libraries import MissingLibraryError
            try:
                import trainstore.integrations.transformers
            except MissingLibraryError as error:
                print(error)
            """,
            libraries=None,
        )
        assert script.finish() == [
            f"trainstore.integrations.transformers needs {library}, which is not installed: "
            "pip install 'trainstore[transformers]'"
        ]


def test_imports_only_go_down():
    """The floors of the house hold, and every module has one (import-linter, pyproject.toml)."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_there_is_no_circle_of_imports():
    """No module imports itself through others, not even inside a function, nor a package through its own modules."""
    graph = grimp.build_graph("trainstore", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle
