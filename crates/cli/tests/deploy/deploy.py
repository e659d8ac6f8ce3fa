"""Creates the functions and their mappings with the SDK alone: deploy.py PACKAGES TIMEOUT_SECONDS, where pudato.toml is."""
import json
import pathlib
import sys
import tomllib

import boto3

packages, timeout = pathlib.Path(sys.argv[1]), int(sys.argv[2])
settings = tomllib.loads(pathlib.Path("pudato.toml").read_text())
containers = settings.pop("containers")
environment = {"PUDATO_CONTAINERS": ",".join(f"{name}={place}" for name, place in containers.items())}
for key, value in settings.items():
    is_own = key in ("aws_endpoint_url", "registry_database_url")
    environment[key.upper() if is_own else f"PUDATO_{key.upper()}"] = str(value)

iam, functions, sqs = boto3.client("iam"), boto3.client("lambda"), boto3.client("sqs")
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="pudato", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
for name, package, queues in [("storage", "core", ["storage"]), ("registry", "core", ["registry"]),
                              ("query", "query", ["query"]), ("results", "core", ["results", "history"])]:
    functions.create_function(
        FunctionName=f"pudato-{name}", Runtime="provided.al2023", Handler="bootstrap", Role=role, Timeout=timeout, MemorySize=512,
        Code={"ZipFile": (packages / f"{package}.zip").read_bytes()},
        Environment={"Variables": environment | {"HANDLER_TYPE": name}})
    for queue in queues:
        url = settings[f"{queue}_queue_url"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        functions.create_event_source_mapping(
            EventSourceArn=arn, FunctionName=f"pudato-{name}", BatchSize=1 if name == "query" else 10, FunctionResponseTypes=["ReportBatchItemFailures"])
