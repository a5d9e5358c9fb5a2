"""The files of the page: a list that is fixed when the server starts, so that nothing else can be asked for."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.responses import Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"
#: Stands in the page where the version of the files belongs: modules import each other by relative names, so the
#: version is a folder's name, not a parameter.
PLACE = b"assets/@/"


class Assets:
    """All files of the page, in memory."""

    def __init__(self) -> None:
        folder = files("trainstore.dashboard") / "assets"
        found = {one.name: one.read_bytes() for one in folder.iterdir() if _type_of(one.name)}
        digest = hashlib.sha256()
        for name in sorted(found):
            digest.update(name.encode() + b"\0" + found[name] + b"\0")
        self.version = digest.hexdigest()[:16]
        self.index = found.pop(INDEX).replace(PLACE, b"assets/%s/" % self.version.encode())
        self.files = found

    def page(self) -> Response:
        """The page itself, which is asked for anew each time."""
        return Response(self.index, headers={"Cache-Control": "no-cache"}, media_type=TYPES[".html"])

    def file(self, version: str, name: str) -> Response | None:
        """One of the files, which a browser may keep for as long as it likes; None if there is none."""
        if version != self.version or name not in self.files:
            return None
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(self.files[name], headers=headers, media_type=_type_of(name))


def _type_of(name: str) -> str | None:
    return TYPES.get(name[name.rfind(".") :])
