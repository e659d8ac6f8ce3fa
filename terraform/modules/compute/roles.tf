# One role for each function, with what its handler needs and nothing else.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each           = var.functions
  name               = "${var.prefix}-${each.key}"
  description        = "pudato: ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

locals {
  # Put together, since a function's own ARN is known only after its role.
  function_arns = {
    for name in concat(keys(var.functions), ["migrate"]) : name => "arn:${data.aws_partition.current.partition}:lambda:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:function:${var.prefix}-${name}"
  }
  read_queues = { for name, function in var.functions : name => [for queue in coalesce(function.queues, [name]) : var.queues[queue]] }
}

# Of a function that runs in a VPC.
data "aws_iam_policy_document" "network" {
  for_each = var.vpc == null ? {} : local.function_arns

  # A network interface in the VPC; EC2 knows no narrower resource for these (Lambda's developer guide, "Required IAM permissions").
  statement {
    sid       = "NetworkInterface"
    actions   = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
    resources = ["*"]
  }

  # Lambda needs these rights and the function's own code does not (Lambda's developer guide, "Giving Lambda functions access to resources in an Amazon VPC").
  statement {
    sid       = "NetworkInterfaceNotForCode"
    effect    = "Deny"
    actions   = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DetachNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "lambda:SourceFunctionArn"
      values   = [each.value]
    }
  }
}

data "aws_iam_policy_document" "role" {
  for_each                = var.functions
  source_policy_documents = var.vpc == null ? [] : [data.aws_iam_policy_document.network[each.key].json]

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
  }

  # Lambda's own pollers receive and delete with this role, and ask for the queue's attributes.
  statement {
    sid       = "OwnQueue"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
    resources = local.read_queues[each.key][*].arn
  }

  # Follow-ups to itself, and what it gives up.
  statement {
    sid       = "FollowUpsAndDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = concat(local.read_queues[each.key][*].arn, local.read_queues[each.key][*].dead_letters_arn)
  }

  statement {
    sid       = "Answers"
    actions   = ["sns:Publish"]
    resources = [var.results_topic_arn, var.events_topic_arn]
  }

  # AWS's own clients put what is too large at the bucket's top.
  statement {
    sid       = "ReadClaims"
    actions   = ["s3:GetObject"]
    resources = ["${var.claims_bucket_arn}/*"]
  }

  statement {
    sid       = "WriteClaims"
    actions   = ["s3:PutObject"]
    resources = ["${var.claims_bucket_arn}/claims/*", "${var.claims_bucket_arn}/answers/*"]
  }

  # Without it S3 answers 403 instead of 404 for a claim that is gone, and its message would be tried again for nothing.
  statement {
    sid       = "ListClaims"
    actions   = ["s3:ListBucket"]
    resources = [var.claims_bucket_arn]
  }

  dynamic "statement" {
    for_each = each.value.uses_containers && length(var.container_buckets) > 0 ? [1] : []
    content {
      sid       = "Containers"
      actions   = concat(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], each.key == "storage" ? ["s3:DeleteObject"] : [])
      resources = [for arn in var.container_buckets : "${arn}/*"]
    }
  }

  # Without it S3 answers 403 instead of 404 for an object that is not there.
  dynamic "statement" {
    for_each = each.value.uses_containers && length(var.container_buckets) > 0 ? [1] : []
    content {
      sid       = "ListContainers"
      actions   = ["s3:ListBucket"]
      resources = var.container_buckets
    }
  }

  dynamic "statement" {
    for_each = contains(keys(local.database_of), each.key) ? [local.database_of[each.key]] : []
    content {
      sid       = "RegistryUrl"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [var.databases[statement.value].secret_arn]
    }
  }

  # Keys begin with the service whose answers they are.
  dynamic "statement" {
    for_each = var.idempotency_table_arn == null || each.key == "results" ? [] : [var.idempotency_table_arn]
    content {
      sid       = "KeptAnswers"
      actions   = ["dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]
      resources = [statement.value]
      condition {
        test     = "ForAllValues:StringLike"
        variable = "dynamodb:LeadingKeys"
        values   = ["${each.key}:*"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  # The results consumer tells the senders of commands that the broker gave up, and writes the reason to them.
  dynamic "statement" {
    for_each = each.key == "results" ? [1] : []
    content {
      sid       = "WatchDeadLetters"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
      resources = [for queue in values(var.queues) : queue.dead_letters_arn]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = var.functions
  name     = "handler"
  role     = aws_iam_role.this[each.key].id
  policy   = data.aws_iam_policy_document.role[each.key].json
}
