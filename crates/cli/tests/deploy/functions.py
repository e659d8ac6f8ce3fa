"""Reads back how the queues invoke the functions, and what these may use: functions.py PREFIX. Fails with the first that is otherwise than it must be."""
import sys

import boto3

prefix = sys.argv[1]
functions, sqs, logs = (boto3.client(name) for name in ("lambda", "sqs", "logs"))
QUEUES = {"storage": ["storage"], "query": ["query"], "registry": ["registry"], "results": ["results", "history"]}
CONCURRENCY = {"storage": 8, "query": 4, "registry": 3, "results": 2}


def must(condition, what):
    if not condition:
        sys.exit(f"functions: {what}")


for name, queues in QUEUES.items():
    found = functions.get_function_configuration(FunctionName=f"{prefix}-{name}")
    timeout, settings = found["Timeout"], found["Environment"]["Variables"]
    mappings = functions.list_event_source_mappings(FunctionName=f"{prefix}-{name}:live")["EventSourceMappings"]
    read = sorted(mapping["EventSourceArn"].rsplit(":", 1)[1] for mapping in mappings)
    must(read == sorted(f"{prefix}-{queue}-queue" for queue in queues), f"{name} reads {read}")
    for mapping in mappings:
        where = mapping["EventSourceArn"]
        must(mapping.get("FunctionResponseTypes") == ["ReportBatchItemFailures"], f"{where}: a failure would fail its batch: {mapping}")
        must(mapping.get("ScalingConfig", {}).get("MaximumConcurrency") == CONCURRENCY[name], f"{where}: {mapping}")
        must(mapping["BatchSize"] == (1 if name == "query" else 10), f"{where}: {mapping}")
        url = sqs.get_queue_url(QueueName=where.rsplit(":", 1)[1])["QueueUrl"]
        hidden = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]["VisibilityTimeout"]
        must(int(hidden) >= 6 * timeout, f"{where}: hides a message for {hidden} s, and {name} has {timeout} s")
    group = f"/aws/lambda/{prefix}-{name}"
    kept = [one.get("retentionInDays") for one in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] if one["logGroupName"] == group]
    must(kept == [30], f"{group}: kept for {kept} days")
    # What all containers have is counted by Terraform, so each must know its part.
    must(settings.get("PUDATO_DATABASE_CONNECTIONS") == "2", f"{name}: {settings}")
    if name in ("storage", "registry"):
        must(found["MemorySize"] >= 512 and settings["PUDATO_CONCURRENCY"] == "4" and settings["PUDATO_CLAIM_BYTES_MAX"] == "16777216", f"{found}")
    if name == "query":
        memory, disk = found["MemorySize"] << 20, found["EphemeralStorage"]["Size"] << 20
        must(int(settings["PUDATO_QUERY_SECONDS"]) < timeout, f"query: its own deadline comes after the function's: {settings}")
        must(int(settings["PUDATO_QUERY_MEMORY_BYTES"]) <= memory // 2, f"query: {settings}")
        must(int(settings["PUDATO_QUERY_SPILL_BYTES"]) + int(settings["PUDATO_QUERY_SOURCE_BYTES_MAX"]) < disk, f"query: {settings}")
print(f"{sum(len(queues) for queues in QUEUES.values())} mappings of {len(QUEUES)} functions are as they must be")
