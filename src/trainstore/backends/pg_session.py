"""What every connection to PostgreSQL depends on, whatever the server, role, URL or environment has set.

The client encoding is sent when the connection starts. The other settings are made once per session: PgBouncer in
transaction mode carries those that the server reports (DateStyle, TimeZone, standard_conforming_strings) to each of its
connections. It does not carry `extra_float_digits`, on which the exactness of numbers depends, so writing transactions
set it again. Limits (statement_timeout, default_transaction_read_only) belong to whoever runs the server and are left
alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from trainstore.errors import StoreURLError

CLIENT_ENCODING = "UTF8"
ISOLATION_LEVEL = "READ COMMITTED"
SETTINGS = {
    "DateStyle": "ISO, MDY",  # psycopg reads no other
    "IntervalStyle": "postgres",  # likewise
    "TimeZone": "UTC",
    "extra_float_digits": "1",  # less rounds numbers; more adds no digits
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
}
_SET = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items())

#: The settings of a transaction that writes; ``:timeout`` bounds each of its waits.
SET_LOCAL = text(
    "SELECT set_config('statement_timeout', :timeout, true), set_config('lock_timeout', :timeout, true), "
    "set_config('idle_in_transaction_session_timeout', :timeout, true), set_config('synchronous_commit', 'on', true), "
    f"set_config('extra_float_digits', '{SETTINGS['extra_float_digits']}', true)"
)

#: Bounds each statement of a transaction that reads, unless whoever runs the server has set a shorter bound.
SHORTEN_TIMEOUT = text(
    "SELECT set_config('statement_timeout', :timeout, true) WHERE current_setting('statement_timeout')::interval "
    "NOT BETWEEN interval '1ms' AND CAST(:timeout AS interval)"
)


def settle(driver: Any) -> None:
    """Apply the settings to a new psycopg connection.

    Raises:
        StoreURLError: The database's encoding is not UTF-8, so it cannot hold every text.
    """
    encoding = (driver.pgconn.parameter_status(b"server_encoding") or b"").decode()
    if encoding != CLIENT_ENCODING:
        name = driver.info.dbname
        driver.close()
        raise StoreURLError(
            f"the PostgreSQL database {name!r} has the encoding {encoding}, which cannot hold every text; create one "
            "with: createdb --encoding=UTF8 --template=template0 NAME"
        )
    before, driver.autocommit = driver.autocommit, True
    try:
        driver.execute(_SET)
    finally:
        driver.autocommit = before


def may_round(driver: Any) -> bool:
    """Whether queries may read rounded numbers: the default has few digits, and a pooler does not carry our setting."""
    query = "SELECT pg_backend_pid(), reset_val::integer FROM pg_settings WHERE name = 'extra_float_digits'"
    answering, digits = driver.execute(query).fetchone()
    return bool(answering != driver.info.backend_pid and digits < int(SETTINGS["extra_float_digits"]))
