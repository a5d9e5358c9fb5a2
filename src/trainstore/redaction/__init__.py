"""Secrets are replaced by ``[redacted]`` before anything is written. Four kinds of rules find them:

- A **name** that says "secret" (``hub_token``, ``AWS_SECRET_ACCESS_KEY``): every text, list or mapping under it is
  redacted. Numbers, bools and None stay: they only tell whether one was set. A name that says what else it holds
  (``password_file``, ``secret_size``) does not count.
- A name that may mean one (``account_key``, ``user_token``): a text is redacted if it looks random.
- A **value** that has the form of a secret (``hf_…``, ``ghp_…``, PEM, JWT), or is in a place of secrets in a text: in a
  URL, in a header, in a command.
- Inside a **text**, what stands beside such a name: ``api_key=X``, ``--api-key X``, ``HF_TOKEN=X python``,
  ``"password": "X"``, "the API key is X". Beside ``token`` alone only what mixes letters and digits goes.

The passwords of connection strings in messages are hidden elsewhere: ``backends/urls.py``.

What only sounds like a secret stays: a tokenizer's tokens, counts, hashes, paths. Both lists are kept in
``tests/redaction``. Each pattern is tried only on a text that contains one of its needles, and none backtracks over a
long text.

``names.py`` has the names, ``forms.py`` forms and places, ``assignments.py`` what a text says beside a name. Texts,
structures and command lines are redacted in ``values.py``.
"""

from trainstore.redaction.names import REDACTED, is_secret_key, looks_chosen, looks_random
from trainstore.redaction.values import LONGEST_SECRET, NONFINITE, redact, redact_arguments, redact_item, redact_text

__all__ = [
    "LONGEST_SECRET",
    "NONFINITE",
    "REDACTED",
    "is_secret_key",
    "looks_chosen",
    "looks_random",
    "redact",
    "redact_arguments",
    "redact_item",
    "redact_text",
]
