"""Publishing and consuming messages."""

from pudato.messaging.consumer import Message, SQSConsumer
from pudato.messaging.publisher import SNSPublisher

__all__ = ["Message", "SNSPublisher", "SQSConsumer"]
