"""textgru serve"""

from __future__ import annotations

import os
from typing import Any

import click

from textgru.cli.options import precision_option, threads_option
from textgru.cli.setting_options import SectionedCommand, given_settings, setting_options
from textgru.errors import InputError
from textgru.server.settings import ServerSettings

KEY = "TEXTGRU_API_KEY"  # environment variable
MISSING = "the server's parts aren't installed: pip install 'textgru[server]'"


@click.command(cls=SectionedCommand, short_help="Serve models over HTTP, with a page to write on.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@setting_options(ServerSettings)
@precision_option
@threads_option  # fmt: skip
def serve(runs: tuple[str, ...], precision: str | None, **given: Any) -> None:
    """Serve the models in the directories RUN over HTTP: a page to write on at /, and the completions that OpenAI's
    clients speak at /v1. A model has the name of its directory; it is loaded again when the run has changed.

    Only this machine can reach it, unless --host says otherwise. Ctrl-C and SIGTERM let texts end, then end it.
    """
    try:
        from textgru.server.run import run_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("starlette", "uvicorn", "prometheus_client", "h11", "anyio"):
            raise InputError(MISSING) from error
        raise
    settings = given_settings(ServerSettings, given)
    if "api_key" not in settings and os.environ.get(KEY):
        settings["api_key"] = os.environ[KEY]
    run_server(runs, ServerSettings(**settings), precision, click.echo)
