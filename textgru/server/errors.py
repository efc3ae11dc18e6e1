"""Errors as OpenAI's clients know them."""

from __future__ import annotations

import json

from starlette.responses import Response

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 500: "server_error"}


class RequestError(Exception):
    """A request that can't be answered: the HTTP status, what is wrong in one line, and the parameter it is about."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = (
            {"Retry-After": "1"} if status == 429 else {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        )

    def content(self) -> dict[str, object]:
        """What is sent."""
        kind = TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        return json_response(self.content(), self.status, self.headers)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def json_response(
    content: object, status: int = 200, headers: dict[str, str] | None = None, *, large: bool = False
) -> Response:
    """JSON in ASCII: half characters can't break it. A `large` one is written piece by piece, which takes longer, but
    lets other threads go on meanwhile."""
    body = ("".join(_ENCODER.iterencode(content)) if large else _ENCODER.encode(content)) + "\n"
    return Response(body, status, headers, media_type="application/json")
