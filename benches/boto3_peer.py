"""The same commands as `pudato-bench aws`, by a publisher, a runner and a consumer as they are usually written with boto3.

usage: boto3_peer.py COUNT BUCKET POSTGRES_URL; prints the seconds from the first publish to the last row.
"""

import json
import sys
import time
import uuid
from multiprocessing import Process

import boto3
import psycopg

COUNT, BUCKET, DATABASE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
NAMES = ["commands", "results", "events"]


def places():
    """ARNs of the topics and URLs of the queues."""
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topics, queues = {}, {}
    for name in NAMES:
        topics[name] = sns.create_topic(Name=f"peer-{name}")["TopicArn"]
        queues[name] = sqs.create_queue(QueueName=f"peer-{name}")["QueueUrl"]
        arn = topics[name].replace(":sns:", ":sqs:")
        sns.subscribe(TopicArn=topics[name], Protocol="sqs", Endpoint=arn,
                      Attributes={"RawMessageDelivery": "true"})
    return topics, queues


def attributes(**values):
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def publish(topics):
    sns = boto3.client("sns")
    for n in range(COUNT):
        command = {
            "type": "storage", "action": "put_object", "correlation_id": str(uuid.uuid4()),
            "job_id": "job-peer", "step_id": f"step-{n}", "metadata": {},
            "payload": {"container": "bench", "path": f"peer/{n}.txt", "data": f"{n:0>1024}"},
        }
        sns.publish(TopicArn=topics["commands"], Message=json.dumps(command),
                    MessageAttributes=attributes(type="storage", action="put_object",
                                                 correlation_id=command["correlation_id"]))


def messages(sqs, url):
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20,
                                     MessageAttributeNames=["All"])
        yield from answer.get("Messages", [])


def run(topics, queues):
    sns, sqs, s3 = boto3.client("sns"), boto3.client("sqs"), boto3.client("s3")
    for message in messages(sqs, queues["commands"]):
        command = json.loads(message["Body"])
        payload = command["payload"]
        put = s3.put_object(Bucket=BUCKET, Key=payload["path"], Body=payload["data"])
        location = f"s3://{BUCKET}/{payload['path']}"
        result = {
            "status": "success", "correlation_id": command["correlation_id"], "job_id": command["job_id"],
            "step_id": command["step_id"], "handler": "storage", "data": {"etag": put["ETag"]}, "inputs": [],
            "outputs": [{"ref_type": "file", "location": location, "format": "txt", "metadata": {}}],
        }
        event = {"type": "storage.object_created", "correlation_id": command["correlation_id"],
                 "payload": {"location": location}}
        sns.publish(TopicArn=topics["results"], Message=json.dumps(result),
                    MessageAttributes=attributes(status="success", handler="storage"))
        sns.publish(TopicArn=topics["events"], Message=json.dumps(event),
                    MessageAttributes=attributes(type=event["type"]))
        sqs.delete_message(QueueUrl=queues["commands"], ReceiptHandle=message["ReceiptHandle"])


def consume(queues):
    sqs = boto3.client("sqs")
    with psycopg.connect(DATABASE) as connection:
        for message in messages(sqs, queues["results"]):
            result = json.loads(message["Body"])
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO peer.step VALUES (%s, %s, %s, %s)",
                               (result["step_id"], result["job_id"], result["status"], message["Body"]))
                for output in result["outputs"]:
                    cursor.execute("INSERT INTO peer.edge VALUES (%s, %s)",
                                   (result["step_id"], output["location"]))
            connection.commit()
            sqs.delete_message(QueueUrl=queues["results"], ReceiptHandle=message["ReceiptHandle"])


def main():
    topics, queues = places()
    connection = psycopg.connect(DATABASE, autocommit=True)
    connection.execute("CREATE SCHEMA peer")
    connection.execute("CREATE TABLE peer.step (step_id text PRIMARY KEY, job_id text, status text, body text)")
    connection.execute("CREATE TABLE peer.edge (step_id text, location text)")
    connection.execute("CREATE INDEX ON peer.edge (location)")
    serving = [Process(target=run, args=(topics, queues)), Process(target=consume, args=(queues,))]
    for process in serving:
        process.start()
    time.sleep(2)
    started = time.monotonic()
    publisher = Process(target=publish, args=(topics,))
    publisher.start()
    while connection.execute("SELECT count(*) FROM peer.edge").fetchone()[0] < COUNT:
        time.sleep(0.1)
    print(time.monotonic() - started)
    for process in serving:
        process.kill()


main()
