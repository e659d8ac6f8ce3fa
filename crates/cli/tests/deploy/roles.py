"""Reads back the policies of all roles, word by word, and compares them with what is written here: roles.py PREFIX [kms]. Fails with the first action on a resource that is
allowed and not written here, or the other way round: what security.py evaluates are questions that somebody thought of, and this is everything."""
import json
import sys

import boto3

prefix = sys.argv[1]
ACCOUNT, REGION = "000000000000", "us-east-1"
iam, secrets = boto3.client("iam"), boto3.client("secretsmanager")


def must(condition, what):
    if not condition:
        sys.exit(f"roles: {what}")


def arn(service, name):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def a_list(value):
    return value if isinstance(value, list) else [value]


def queue(name, kind="queue"):
    return arn("sqs", f"{prefix}-{name}-{kind}")


def secret(name):
    return secrets.describe_secret(SecretId=f"{prefix}/{name}")["ARN"]


SERVICES = ["storage", "query", "registry", "results", "history"]
LAKE, CLAIMS = f"arn:aws:s3:::{prefix}-lake", f"arn:aws:s3:::{prefix}-claims"
READS = {"storage": ["storage"], "query": ["query"], "registry": ["registry"], "results": ["results", "history"]}
DATABASE = {"storage": "registry-answers", "query": "registry-answers", "registry": "registry", "results": "registry"}


def logs(role):
    return {(verb, arn("logs", f"log-group:/aws/lambda/{prefix}-{role}:*")) for verb in ("logs:CreateLogStream", "logs:PutLogEvents")}


def expected_of(role):
    if role == "migrate":
        return logs(role) | {("secretsmanager:GetSecretValue", secret(name)) for name in ("registry-owner", "registry", "registry-answers")}
    allowed = logs(role)
    for name in READS[role]:
        allowed |= {(f"sqs:{verb}", queue(name)) for verb in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "SendMessage")}
        allowed.add(("sqs:SendMessage", queue(name, "dlq")))
    allowed |= {("sns:Publish", arn("sns", f"{prefix}-{topic}")) for topic in ("results", "events")}
    allowed |= {("s3:GetObject", f"{CLAIMS}/*"), ("s3:PutObject", f"{CLAIMS}/claims/*"), ("s3:PutObject", f"{CLAIMS}/answers/*"), ("s3:ListBucket", CLAIMS)}
    allowed.add(("secretsmanager:GetSecretValue", secret(DATABASE[role])))
    if role in ("storage", "query"):
        allowed |= {(f"s3:{verb}", f"{LAKE}/*") for verb in ("GetObject", "PutObject", "AbortMultipartUpload")}
        allowed.add(("s3:ListBucket", LAKE))
    if role == "storage":
        allowed.add(("s3:DeleteObject", f"{LAKE}/*"))
    if role == "results":
        verbs = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "GetQueueUrl", "SendMessage")
        allowed |= {(f"sqs:{verb}", queue(name, "dlq")) for name in SERVICES for verb in verbs}
    return allowed


roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith(f"{prefix}-")]
must(sorted(roles) == sorted(f"{prefix}-{role}" for role in [*READS, "migrate"]), f"roles are {sorted(roles)}")
pairs = 0
for name in roles:
    role = name.removeprefix(f"{prefix}-")
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    must(not attached, f"{role}: policies from elsewhere: {attached}")
    own = iam.list_role_policies(RoleName=name)["PolicyNames"]
    must(own == ["handler"], f"{role}: policies are {own}")
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    who = [statement["Principal"] for statement in trust["Statement"]]
    must(who == [{"Service": "lambda.amazonaws.com"}], f"{role}: may be taken by {who}")
    document = iam.get_role_policy(RoleName=name, PolicyName="handler")["PolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    allowed, keys = set(), set()
    for statement in a_list(document["Statement"]):
        must(not {"NotAction", "NotResource"} & set(statement), f"{role}: all but something: {statement}")
        must(statement["Effect"] == "Allow", f"{role}: {statement}")
        for action in a_list(statement["Action"]):
            for resource in a_list(statement["Resource"]):
                (keys if action.startswith("kms:") else allowed).add((action, resource))
    expected = expected_of(role)
    must(allowed == expected, f"{role}: too much: {sorted(allowed - expected)}; too little: {sorted(expected - allowed)}")
    verbs = {action for action, _ in keys}
    with_key = "kms" in sys.argv and role != "migrate"
    must(verbs == ({"kms:Decrypt", "kms:GenerateDataKey"} if with_key else set()), f"{role}: keys: {sorted(keys)}")
    must(len({key for _, key in keys}) == (1 if with_key else 0) and not any("*" in key for _, key in keys), f"{role}: keys: {sorted(keys)}")
    pairs += len(allowed) + len(keys)
print(f"{pairs} actions on resources are allowed to {len(roles)} roles, all of them written down")
