"""The topics in the settings, by name."""

from __future__ import annotations

from dataclasses import dataclass

from pudato.config import get_settings

__all__ = ["TopicConfig", "Topics"]

_SERVICES = ("storage", "query", "transform", "registry")


@dataclass(frozen=True)
class TopicConfig:
    """A topic.

    Attributes:
        name: Its name.
        arn: Its ARN on AWS. The embedded fabric has no ARNs, so there it is the name.
    """

    name: str
    arn: str


class Topics:
    """The topics of `get_settings()`."""

    @classmethod
    def storage_commands(cls) -> TopicConfig:
        """Commands of the storage service."""
        return cls.for_service("storage")

    @classmethod
    def query_commands(cls) -> TopicConfig:
        """Commands of the query service."""
        return cls.for_service("query")

    @classmethod
    def transform_commands(cls) -> TopicConfig:
        """Commands of the transform service."""
        return cls.for_service("transform")

    @classmethod
    def registry_commands(cls) -> TopicConfig:
        """Commands of the registry."""
        return cls.for_service("registry")

    @classmethod
    def results(cls) -> TopicConfig:
        """Results of all services."""
        settings = get_settings()
        return TopicConfig(f"{settings.prefix}-results", settings.results_topic_arn)

    @classmethod
    def events(cls) -> TopicConfig:
        """Events of all services."""
        settings = get_settings()
        return TopicConfig(f"{settings.prefix}-events", settings.events_topic_arn)

    @classmethod
    def for_service(cls, service_type: str) -> TopicConfig:
        """Returns the topic for a service's Commands.

        Raises:
            ValueError: pudato has no such service.
        """
        if service_type not in _SERVICES:
            raise ValueError(f"service_type: expected one of {', '.join(_SERVICES)}, found {service_type!r}")
        settings = get_settings()
        arn = str(getattr(settings, f"{service_type}_topic_arn"))
        return TopicConfig(f"{settings.prefix}-{service_type}-commands", arn)
