"""The page of a log that is followed: the same as that of a diagnosis or a report, loaded again as the log grows."""

from __future__ import annotations

from balancer.diagnosis.diagnose import Diagnosis
from balancer.errors import ConfigError
from balancer.page.page import Live, page_words, render_page, view_of
from balancer.page.report import run_view


def live_page(diagnosis: Diagnosis, lang: str, live: Live) -> str:
    """The page about one log or run as it is now.

    Raises:
        ConfigError: there is no such language.
    """
    words = page_words(lang)
    try:
        view = run_view(diagnosis, words)
    except ConfigError:  # the log_dir of a script, or a run whose folder changes right now
        view = view_of(diagnosis, words)
    return render_page([view], words, live)


def waiting_page(why: str, lang: str, live: Live) -> str:
    """The page as long as there is nothing to judge."""
    from markupsafe import escape

    words = page_words(lang)
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(lang)}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="refresh" content="{live.every:g}"><title>Balancer</title></head>\n'
        f"<body><p>{escape(words('ui.watch_waits', why=why))}</p></body></html>\n"
    )
