"""What a server may be told: where it listens, whom it lets in, how much it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from textgru.typed import Help, Range, check_fields


@dataclass(frozen=True)
class ServerSettings:
    """Raises InputError for values that can't be."""

    host: Annotated[str, Help("The address to listen on; 0.0.0.0 for all.", "Address", metavar="ADDRESS")] = "127.0.0.1"
    port: Annotated[int, Range(0, 65535), Help("0 takes any that is free, and says which.", "Address")] = 8000
    api_key: Annotated[
        str | None,
        Help("Only requests with this key, as OpenAI's clients send it.", "Access", "$TEXTGRU_API_KEY, or none", "KEY"),
    ] = None
    cors_origin: Annotated[
        str | None,
        Help("Pages of this origin may call (https://example.org, or *).", "Access", "none", "ORIGIN"),
    ] = None
    allowed_host: Annotated[
        str | None,
        Help(
            "Requests must be for this host name; * for any.",
            "Access",
            "on a loopback address only names of this machine, else any",
            "NAME",
        ),
    ] = None
    log_prompts: Annotated[bool, Help("Prompts stand in the log.", "Access")] = False
    slots: Annotated[
        int, Range(1, 4096), Help("Texts of a model drawn side by side.", "Limits", spelled=("--parallel", "-np"))
    ] = 64
    queue: Annotated[int, Range(0, 1 << 20), Help("Texts that may wait; more are told to come later.", "Limits")] = 256
    max_tokens: Annotated[int, Range(1, 10**9), Help("The longest text, in new tokens.", "Limits")] = 16384
    max_n: Annotated[int, Range(1, 4096), Help("Texts of one request.", "Limits")] = 64
    max_body: Annotated[int, Range(1, 1 << 20), Help("Of a request, in kB.", "Limits", metavar="KB")] = 1024
    max_seconds: Annotated[float, Range(0, 1e9, above=True), Help("A text that takes longer ends there.", "Limits")] = (
        600.0
    )
    idle_seconds: Annotated[
        float, Range(0, 1e9, above=True), Help("A connection that no whole request comes on is closed.", "Limits")
    ] = 30.0
    drain_seconds: Annotated[
        float, Range(0, 1e9), Help("How long texts may go on after SIGTERM or Ctrl-C.", "Limits")
    ] = 10.0

    def __post_init__(self) -> None:
        check_fields(self)
