"""Connection strings as messages may show them: without their passwords."""

from __future__ import annotations

import re

from trainstore.values import plain_text

_URL_PASSWORD = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*?):.*@(?=[^@]*$)", re.DOTALL)


def safe_url(url: object) -> str:
    """A connection string without its password, for messages; it may be malformed or contain a raw ``@``."""
    text = str(getattr(url, "render_as_string", lambda **_: url)(hide_password=True))
    if "://" in text:
        text = _URL_PASSWORD.sub(r"\1:***@", text)
        text = re.sub(r"(?i)([?&](?:[a-z_]*password|passfile|[a-z_]*token|[a-z_]*secret)=)[^&#]*", r"\1***", text)
    return plain_text(text, 500)
