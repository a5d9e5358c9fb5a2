"""What trainstore needs, and what only its extras need."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_dependencies_are_few():
    """What everybody installs; anything else belongs into an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [one.partition(">")[0] for one in project["dependencies"]]
    assert names == ["SQLAlchemy", "alembic", "pandas", "orjson", "platformdirs", "click", "rich"]


def test_development_has_every_extra():
    """The tests can try all of them, but for what only `make test-adapters` installs and what comes otherwise."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    own = extras["dev"][0].removeprefix("trainstore[").removesuffix("]").split(",")
    large = extras["adapters"][0].removeprefix("trainstore[").removesuffix("]").split(",")
    otherwise = {"dev", "adapters", "accelerate", "xgboost"}  # within transformers; xgboost-cpu is the same module
    assert own == sorted(set(extras) - otherwise - set(large))
