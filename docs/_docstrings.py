"""How docstrings become pages: an extension of Griffe, which mkdocstrings reads the sources with."""

from __future__ import annotations

import io
import re
import tokenize
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Function, Object


class Docstrings(Extension):
    """A comment beside a column is its docstring; a column that a method declares is a column."""

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """A column's docstring: the comment lines above it, and the comment beside it."""
        if attr.docstring is not None or attr.parent is None or not attr.parent.name.endswith("Columns"):
            return
        lines = attr.lines_collection[attr.filepath]
        first, last = attr.lineno or 1, attr.endlineno or 1
        while lines[first - 2].lstrip().startswith("#"):
            first -= 1
        source = "\n".join(lines[first - 1 : last])
        comments = [
            token.string.lstrip("# ")
            for token in tokenize.generate_tokens(io.StringIO(f"({source}\n)").readline)
            if token.type == tokenize.COMMENT
        ]
        if comments:
            attr.docstring = Docstring(" ".join(comments), parent=attr)

    def on_class_members(self, *, cls: Class, **kwargs: Any) -> None:
        """SQLAlchemy's ``declared_attr`` makes a column of a method."""
        for name, member in list(cls.members.items()):
            if isinstance(member, Function) and any(str(d.value) == "declared_attr" for d in member.decorators):
                column = Attribute(name, lineno=member.lineno, endlineno=member.endlineno, annotation=member.returns)
                if member.docstring is not None:
                    column.docstring = Docstring(member.docstring.value, parent=column)
                cls.set_member(name, column)

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """A lone ``::`` before a block of code goes, one at a line's end is a colon; a returned value has a type."""
        if obj.docstring is not None:
            value = re.sub(r"^::\n\n", "", obj.docstring.value, flags=re.MULTILINE)
            value = re.sub(r"::$", ":", value, flags=re.MULTILINE)
            if isinstance(obj, Function) and obj.returns is not None:
                # Else the text up to its first colon would be taken for the type.
                value = re.sub(r"^Returns:\n {4}", f"Returns:\n    {obj.returns}: ", value, flags=re.MULTILINE)
            obj.docstring.value = value
