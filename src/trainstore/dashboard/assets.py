"""The files of the page: a list that is fixed when the server starts, so that nothing else can be asked for."""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from trainstore.dashboard.bundle import in_order

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"
#: Stands in the page where the version of the files belongs: modules import each other by relative names, so the
#: version is a folder's name, not a parameter.
PLACE = "assets/@/"
_HEAD_ENDS = "</head>"


class Assets:
    """All files of the page, in memory, also packed."""

    def __init__(self) -> None:
        folder = files("trainstore.dashboard") / "assets"
        found = {one.name: one.read_bytes() for one in folder.iterdir() if _type_of(one.name)}
        digest = hashlib.sha256()
        for name in sorted(found):
            digest.update(name.encode() + b"\0" + found[name] + b"\0")
        self.version = digest.hexdigest()[:16]
        page = _with_preloads(found.pop(INDEX).decode(), {name: text.decode() for name, text in found.items()})
        self._page = page.replace(PLACE, f"assets/{self.version}/").encode()
        self._files = found
        self._packed = {name: gzip.compress(content) for name, content in found.items()}

    def page(self) -> Response:
        """The page itself, which is asked for anew each time."""
        return Response(self._page, headers={"Cache-Control": "no-cache"}, media_type=TYPES[".html"])

    def file(self, version: str, name: str, request: Request) -> Response | None:
        """One of the files, which a browser may keep for as long as it likes; None if there is none."""
        if version != self.version or name not in self._files:
            return None
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        content = self._files[name]
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"], content = "gzip", self._packed[name]
        return Response(content, headers=headers, media_type=_type_of(name))


@functools.cache
def loaded() -> Assets:
    """Those of this process, packed once however many applications it makes."""
    return Assets()


def _with_preloads(page: str, texts: dict[str, str]) -> str:
    """The page, with the names of all modules: a browser asks for them at once, not one import after another."""
    modules = in_order({name: text for name, text in texts.items() if name.endswith(".js")})
    links = "".join(f'<link rel="modulepreload" href="{PLACE}{name}">\n' for name in reversed(modules))
    return page.replace(_HEAD_ENDS, f"{links}{_HEAD_ENDS}", 1)


def _type_of(name: str) -> str | None:
    return TYPES.get(name[name.rfind(".") :])
