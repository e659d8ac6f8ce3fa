"""Publishes messages with boto3 only: publish.py TOPIC_ARN MESSAGE.."""
import sys

import boto3

sns = boto3.client("sns")
for message in sys.argv[2:]:
    sns.publish(TopicArn=sys.argv[1], Message=message)
