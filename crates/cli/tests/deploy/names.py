"""Prints the name of everything that there is of pudato's kind."""
import boto3

names = [topic["TopicArn"] for topic in boto3.client("sns").list_topics()["Topics"]]
names += boto3.client("sqs").list_queues().get("QueueUrls", [])
names += [function["FunctionName"] for function in boto3.client("lambda").list_functions()["Functions"]]
names += [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
names += [role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"] if "aws-service-role" not in role["Path"]]
names += [secret["Name"] for secret in boto3.client("secretsmanager").list_secrets()["SecretList"]]
names += [mapping["UUID"] for mapping in boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]]
print("\n".join(name.rsplit(":", 1)[-1].rsplit("/", 1)[-1] for name in names))
