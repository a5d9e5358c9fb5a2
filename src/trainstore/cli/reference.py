"""The page ``docs/cli.md``, from the ``--help`` of every command: ``python -m trainstore.cli.reference``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from trainstore.cli import cli

WIDTH = 100  # characters
HEAD = """# Command line

```console
$ trainstore --help
```

Every command that reads or writes a store takes it from `--store` or `TRAINSTORE_URL`: a path (SQLite) or a database
URL; without either it is `trainstore.db` in the current folder, as for `TrainStore()`. A command that takes no other
argument takes the store as its argument too: `trainstore runs other.db`. `--store` and `--prefix` may stand before the
command. `ls` and `list` mean `runs`, `delete` means `rm`. Only `demo`, `import`, `merge`, `copy`
(the store that `--to` names) and `db upgrade` create a store (`recover`: its tables). `--json` prints full values for
scripts: a missing value is null, NaN and infinities are `"NaN"`, `"Infinity"` and `"-Infinity"`, and integers are
numbers of any size.

A RUN is a uid, an id, or a name that only one run has. A number that is the id of one run and the name of another is
refused; write `id:1`, `name:1` or a uid.

| exit code | |
| --- | --- |
| 0 | done |
| 1 | an error, one line on standard error that says what to do; `doctor`: a problem; `db check`: a difference |
| 2 | an invalid command line |
| 130 | Ctrl-C, or No as the answer to a question |
| 143 | SIGTERM |

There is never a traceback. An error in trainstore itself is a line too; `TRAINSTORE_TRACEBACK=1` shows where it comes
from. An error in a filter (`--where`) has two more lines: the filter, and a caret under the place. If the output is not
UTF-8 (a Windows code page, the POSIX locale), characters that it cannot represent are written as `\\U0001f680`, and
JSON is plain ASCII. A file that a command writes is complete or does not exist, even after Ctrl-C or SIGTERM.

Below is the `--help` of every command.
"""


def reference() -> str:
    """The page, as Markdown."""
    return "\n".join([HEAD, *_sections(cli, "trainstore")])


def _sections(command: click.Command, path: str) -> Iterator[str]:
    # A fixed width, so that the page does not depend on the terminal.
    context = click.Context(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = list(cli.context_settings["help_option_names"])
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _sections(inner, f"{path} {name}")


if __name__ == "__main__":
    click.echo(reference(), nl=False)
