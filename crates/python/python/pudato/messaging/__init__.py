"""Publishing and consuming messages."""

from pudato.messaging.consumer import Consumer, Message, SQSConsumer
from pudato.messaging.publisher import Published, Publisher, PublishError, SNSPublisher
from pudato.messaging.topics import TopicConfig, Topics

__all__ = [
    "Consumer",
    "Message",
    "Published",
    "PublishError",
    "Publisher",
    "SNSPublisher",
    "SQSConsumer",
    "TopicConfig",
    "Topics",
]
