"""What ``alembic revision --autogenerate`` writes is nearly the migration."""

import shutil
import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from fixtures.revisions import AFTER, HEAD
from trainstore.schema import migrations_directory

# The alembic command, with one more column in the models.
CHANGED = """
import sys
from alembic.config import main
from sqlalchemy import Column, String
from trainstore.models import models_for
models_for("").metadata.tables["attempt"].append_column(Column("room", String(36), index=True))
main(sys.argv[1:])
"""


def test_a_draft_has_the_prefix_and_no_generated_comments(tmp_path, monkeypatch):
    """In the names of tables and indices; the draft is Python."""
    migrations = tmp_path / "migrations"
    shutil.copytree(migrations_directory(), migrations)
    shutil.copy(Path(__file__).parents[2] / "alembic.ini", tmp_path)
    monkeypatch.setenv("TRAINSTORE_URL", f"sqlite:///{tmp_path}/old.db")
    monkeypatch.delenv("TRAINSTORE_PREFIX", raising=False)
    alembic = [sys.executable, "-c", CHANGED, "-c", str(tmp_path / "alembic.ini")]
    subprocess.run([*alembic, "upgrade", HEAD], check=True)
    subprocess.run([*alembic, "revision", "--autogenerate", "--rev-id", AFTER, "-m", "rooms"], check=True)
    draft = (migrations / "versions" / f"{AFTER}_rooms.py").read_text()
    assert 'op.batch_alter_table(f"{p}attempt", schema=None)' in draft
    assert "batch_op.create_index(f\"ix_{p}attempt_room\", ['room'], unique=False)" in draft
    assert 'batch_op.drop_index(f"ix_{p}attempt_room")' in draft
    assert "###" not in draft
    config = Config()
    config.set_main_option("script_location", str(migrations))
    assert ScriptDirectory.from_config(config).get_current_head() == AFTER
