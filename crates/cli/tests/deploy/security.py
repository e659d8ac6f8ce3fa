"""Reads back every policy that is in force and evaluates it: security.py PREFIX [PUBLISHER_ARN]. Fails with the first that allows too much or too little.

The evaluation is ministack's own (IAM's SimulatePrincipalPolicy for roles; its module for policies of resources, which that call leaves out). ministack 1.5.33
runs every Lambda with the rights of the account, so that its roles suffice is shown here and not by the pipeline that runs."""
import itertools
import json
import sys

import boto3
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

prefix, publisher = sys.argv[1], next(iter(sys.argv[2:]), None)
ACCOUNT, REGION = "000000000000", "us-east-1"
FOREIGN = "111111111111"
sns, sqs, iam, s3, kms = (boto3.client(name) for name in ("sns", "sqs", "iam", "s3", "kms"))
checks = 0


def arn(service, name, account=ACCOUNT):
    return f"arn:aws:{service}:{REGION}:{account}:{name}"


def must(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"security: {what}")


def decides(policy, action, resource, *, service=None, tls=True, source=None, account=ACCOUNT, principal=None):
    """What a resource's policy says to a caller: a service, or somebody of an account."""
    keys = {"aws:sourcearn": source, "aws:sourceaccount": account if service else None}
    context = EvalContext(
        principal_arn=principal or service or f"arn:aws:iam::{account}:user/somebody", principal_type="User",
        # A service belongs to no account, so that what the account itself may do is not counted for it.
        principal_account="" if service else account,
        action=action, resource_arn=resource, region=REGION, secure_transport=tls,
        service_context={key: value for key, value in keys.items() if value})
    return evaluate_resource_policy(policy, context, service=service).decision


queues = {}
for url in sqs.list_queues(QueueNamePrefix=f"{prefix}-").get("QueueUrls", []):
    queues[url.rsplit("/", 1)[1].removeprefix(f"{prefix}-")] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
topics = {}
for topic in sns.list_topics()["Topics"]:
    name = topic["TopicArn"].rsplit(":", 1)[1]
    if name.startswith(f"{prefix}-"):
        topics[name.removeprefix(f"{prefix}-")] = sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
SERVICES = ["storage", "query", "registry", "results", "history"]
TOPIC_OF = {"results": "results", "history": "events"}
must(set(queues) == {f"{name}-{kind}" for name in SERVICES for kind in ("queue", "dlq", "undelivered")}, f"queues are {sorted(queues)}")
must(len(topics) == 6, f"topics are {sorted(topics)}")

# Lines 1 and 2: who writes to a queue, and how.
for name, attributes in queues.items():
    service, kind = name.rsplit("-", 1)
    own = arn("sns", f"{prefix}-{TOPIC_OF.get(service, f'{service}-commands')}")
    queue, policy = attributes["QueueArn"], attributes["Policy"]
    writes = lambda **who: decides(policy, "sqs:SendMessage", queue, **who)
    expected = "ImplicitDeny" if kind == "dlq" else "Allow"
    must(writes(service="sns.amazonaws.com", source=own) == expected, f"{name}: its own topic: expected {expected}")
    for topic in topics.values():
        if topic["TopicArn"] != own:
            must(writes(service="sns.amazonaws.com", source=topic["TopicArn"]) != "Allow", f"{name}: {topic['TopicArn']} may write")
    must(writes(service="sns.amazonaws.com", source=own.replace(ACCOUNT, FOREIGN), account=FOREIGN) != "Allow", f"{name}: a foreign topic may write")
    must(writes(service="sns.amazonaws.com", source=own, account=FOREIGN) != "Allow", f"{name}: a foreign account may write as the topic")
    must(writes(service="events.amazonaws.com", source=own) != "Allow", f"{name}: another service may write")
    for action in ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"):
        must(decides(policy, action, queue) != "Allow", f"{name}: everybody of the account may {action}")
        must(decides(policy, action, queue, account=FOREIGN) != "Allow", f"{name}: everybody may {action}")
        must(decides(policy, action, queue, tls=False) == "Deny", f"{name}: {action} without TLS")
    must(decides(policy, "sqs:SendMessage", queue, service="sns.amazonaws.com", source=own, tls=False) == "Deny", f"{name}: SNS without TLS")
    # Line 4.
    must(attributes.get("SqsManagedSseEnabled") == "true" or attributes.get("KmsMasterKeyId"), f"{name}: not encrypted")
    # Line 5.
    if kind == "dlq":
        allowed = json.loads(attributes["RedriveAllowPolicy"])
        must(allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [arn("sqs", f"{prefix}-{service}-queue")]}, f"{name}: {allowed}")
for name, attributes in topics.items():
    policy, topic = attributes["Policy"], attributes["TopicArn"]
    must(decides(policy, "sns:Publish", topic, tls=False) == "Deny", f"{name}: Publish without TLS")
    if publisher:
        says = decides(policy, "sns:Publish", topic, principal=publisher)
        must((says == "Allow") == name.endswith("-commands"), f"{name}: the publisher is told {says}")
    for account in (ACCOUNT, FOREIGN):
        must(decides(policy, "sns:Publish", topic, account=account) != "Allow", f"{name}: everybody of {account} may publish")
        must(decides(policy, "sns:Subscribe", topic, account=account) != "Allow", f"{name}: everybody of {account} may subscribe")

# Line 4 as well: one key for all, which SNS and the publisher may use. The account itself administers it.
KEYS = {attributes.get("KmsMasterKeyId") for attributes in queues.values()} | {attributes.get("KmsMasterKeyId") for attributes in topics.values()}
must(len(KEYS) == 1, f"keys are {KEYS}")
KEY = next(iter(KEYS))
if KEY:
    policy = kms.get_key_policy(KeyId=KEY, PolicyName="default")["Policy"]
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        must(decides(policy, action, KEY, service="sns.amazonaws.com") == "Allow", f"key: SNS may not {action}")
        must(decides(policy, action, KEY, service="sns.amazonaws.com", account=FOREIGN) != "Allow", f"key: SNS may {action} for a foreign account")
        must(decides(policy, action, KEY, service="events.amazonaws.com") != "Allow", f"key: another service may {action}")
        must(decides(policy, action, KEY, account=FOREIGN) != "Allow", f"key: everybody of a foreign account may {action}")
        if publisher:
            account = publisher.split(":")[4]
            must(decides(policy, action, KEY, principal=publisher, account=account) == "Allow", f"key: the publisher may not {action}")
    for action in ("kms:ScheduleKeyDeletion", "kms:PutKeyPolicy", "kms:DisableKey"):
        must(decides(policy, action, KEY, service="sns.amazonaws.com") != "Allow", f"key: SNS may {action}")
        if publisher:
            must(decides(policy, action, KEY, principal=publisher, account=FOREIGN) != "Allow", f"key: the publisher may {action}")

# Lines 3 and 6: each role may do what its handler needs, and nothing else that there is.
BUCKETS = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if bucket["Name"].startswith(f"{prefix}-")]
LAKE, CLAIMS = f"{prefix}-lake", f"{prefix}-claims"
must(set(BUCKETS) == {LAKE, CLAIMS}, f"buckets are {BUCKETS}")
SECRETS = {name: boto3.client("secretsmanager").describe_secret(SecretId=f"{prefix}/{name}")["ARN"] for name in ("registry", "registry-answers", "registry-owner")}
# Who has which role of the database; the owner's is for the function alone that makes tables and roles.
SECRETS_OF = {"storage": ["registry-answers"], "query": ["registry-answers"], "registry": ["registry"], "results": ["registry"], "migrate": list(SECRETS)}
objects = {f"arn:aws:s3:::{LAKE}/raw/a.csv", "arn:aws:s3:::foreign/x"} | {f"arn:aws:s3:::{CLAIMS}/{key}" for key in ("claims/x", "answers/x", "other")}
ALL = [
    ("sqs", ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "SendMessage", "GetQueueAttributes", "GetQueueUrl", "PurgeQueue",
             "SetQueueAttributes", "DeleteQueue", "AddPermission"], {one["QueueArn"] for one in queues.values()} | {arn("sqs", "foreign")}),
    ("sns", ["Publish", "Subscribe", "SetTopicAttributes", "DeleteTopic"], {one["TopicArn"] for one in topics.values()} | {arn("sns", "foreign")}),
    ("s3", ["GetObject", "PutObject", "DeleteObject"], objects),
    ("s3", ["ListBucket", "DeleteBucket", "PutBucketPolicy"], {f"arn:aws:s3:::{LAKE}", f"arn:aws:s3:::{CLAIMS}", "arn:aws:s3:::foreign"}),
    ("secretsmanager", ["GetSecretValue", "PutSecretValue"], set(SECRETS.values()) | {arn("secretsmanager", "secret:foreign-abcdef")}),
    ("iam", ["PassRole", "CreateRole"], {f"arn:aws:iam::{ACCOUNT}:role/{prefix}-storage"}),
    ("lambda", ["InvokeFunction", "UpdateFunctionCode"], {arn("lambda", f"function:{prefix}-storage")}),
    ("kms", ["Decrypt", "GenerateDataKey", "PutKeyPolicy"], {arn("kms", "key/foreign")} | ({KEY} if KEY else set())),
    ("dynamodb", ["GetItem", "DeleteTable"], {arn("dynamodb", "table/foreign")}),
]
READS = {"results": ["results", "history"]}
READS["migrate"] = []
for role in ("storage", "query", "registry", "results", "migrate"):
    mine = READS.get(role, [role])
    expected = {("secretsmanager:GetSecretValue", SECRETS[name]) for name in SECRETS_OF[role]}
    for name in mine:
        queue = arn("sqs", f"{prefix}-{name}-queue")
        expected |= {(f"sqs:{verb}", queue) for verb in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "SendMessage")}
        expected.add(("sqs:SendMessage", arn("sqs", f"{prefix}-{name}-dlq")))
    handles = role != "migrate"
    expected |= {("sns:Publish", arn("sns", f"{prefix}-{topic}")) for topic in ("results", "events") if handles}
    # Whoever sends with AWS's own clients puts claims at the bucket's top; a claim that is gone must be told from one that may not be read.
    expected |= {("s3:GetObject", f"arn:aws:s3:::{CLAIMS}/{key}") for key in ("claims/x", "answers/x", "other") if handles}
    expected |= {("s3:PutObject", f"arn:aws:s3:::{CLAIMS}/{key}") for key in ("claims/x", "answers/x") if handles}
    expected |= {("s3:ListBucket", f"arn:aws:s3:::{CLAIMS}")} if handles else set()
    if KEY and handles:
        expected |= {(f"kms:{verb}", KEY) for verb in ("Decrypt", "GenerateDataKey")}
    if role in ("storage", "query"):
        expected |= {(f"s3:{verb}", f"arn:aws:s3:::{LAKE}/raw/a.csv") for verb in ("GetObject", "PutObject")}
        expected.add(("s3:ListBucket", f"arn:aws:s3:::{LAKE}"))
    if role == "storage":
        expected.add(("s3:DeleteObject", f"arn:aws:s3:::{LAKE}/raw/a.csv"))
    if role == "results":
        verbs = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "GetQueueUrl", "SendMessage")
        expected |= {(f"sqs:{verb}", arn("sqs", f"{prefix}-{name}-dlq")) for name, verb in itertools.product(SERVICES, verbs)}
    allowed = set()
    for service, verbs, resources in ALL:
        for resource in resources:
            answer = iam.simulate_principal_policy(
                PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{prefix}-{role}", ActionNames=[f"{service}:{verb}" for verb in verbs],
                ResourceArns=[resource])
            allowed |= {(one["EvalActionName"], resource) for one in answer["EvaluationResults"] if one["EvalDecision"] == "allowed"}
            checks += len(verbs)
    must(allowed == expected, f"role {role}: too much: {sorted(allowed - expected)}; too little: {sorted(expected - allowed)}")

# Buckets take TLS alone, and nothing of them is public.
for bucket in BUCKETS:
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    must(decides(policy, "s3:GetObject", f"arn:aws:s3:::{bucket}/x", tls=False) == "Deny", f"{bucket}: without TLS")
    must(decides(policy, "s3:GetObject", f"arn:aws:s3:::{bucket}/x", account=FOREIGN) != "Allow", f"{bucket}: everybody may read")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    must(all(block.values()), f"{bucket}: public access: {block}")
rules = s3.get_bucket_lifecycle_configuration(Bucket=CLAIMS)["Rules"]
must(rules[0]["Expiration"]["Days"] == 30, f"claims: {rules}")
policies = len(queues) + len(topics) + len(BUCKETS) + (1 if KEY else 0)
print(f"{checks} questions to {policies} policies of resources and 5 of roles, all answered as they must be")
