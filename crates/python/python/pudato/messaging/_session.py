"""Converts boto3 sessions for the core."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pudato import _core
from pudato.config import Settings

# How often to ask a session for its temporary credentials. botocore refreshes them at least 10 minutes before they expire, so pudato's copy
# is always valid.
_ASK_AGAIN_SECONDS = 60.0


def connect(
    settings: Settings | None, session: Any, endpoint_url: str | None, client: Any
) -> tuple[Settings, _core.Session | None]:
    """Returns the settings and the AWS identity of a publisher or consumer.

    Raises:
        ConfigurationError: The arguments contradict each other or the settings.
    """
    settings = settings if settings is not None else Settings()
    given = [name for name, value in (("session", session), ("endpoint_url", endpoint_url)) if value is not None]
    if client is not None:
        if given:
            raise _core.ConfigurationError(f"{given[0]}: a client has its own session and endpoint; pass only one of the two")
        return settings, None
    if session is not None and endpoint_url is None and not settings.aws_endpoint_url and settings.fabric == "aws":
        endpoint_url = _endpoint(session)
    if endpoint_url is not None:
        settings = settings._with(aws_endpoint_url=endpoint_url)
    if given and settings.fabric == "embedded":
        raise _core.ConfigurationError(
            f"{given[0]}: PUDATO_FABRIC is embedded ({settings.origin('fabric')}), which does not use AWS; set it to aws, or omit {given[0]}"
        )
    return settings, None if session is None else _identity(session)


def _identity(session: Any) -> _core.Session:
    credentials = session.get_credentials()
    if credentials is None:
        raise _core.ConfigurationError("session: it has no credentials")

    def ask() -> tuple[str, str, str | None]:
        frozen = credentials.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token

    ends = hasattr(credentials, "refresh_needed")
    return _core.Session(session.region_name, ask, round(_ASK_AGAIN_SECONDS * 1000) if ends else None)


def _endpoint(session: Any) -> str | None:
    """Returns the endpoint that the session's profile sets; None for an AWS endpoint, which the core finds itself."""
    endpoint = str(session.client("sns").meta.endpoint_url)
    host = urlsplit(endpoint).hostname or ""
    is_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"))
    return None if is_aws else endpoint
