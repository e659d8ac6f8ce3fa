# Topics, queues and subscriptions, from one map of services.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  is_kms  = var.encryption == "kms"
  kms_arn = one(aws_kms_key.messages[*].arn)

  topic_of = { for name, service in var.services : name => coalesce(service.topic, "${name}-commands") }
  topics   = toset(concat(values(local.topic_of), ["results", "events"]))
  # Commands are published by users, all else by handlers.
  is_command = { for topic in local.topics : topic => endswith(topic, "-commands") }
  queues     = { for name, service in var.services : name => service if service.queue }

  dead_letter_retention_seconds = 1209600
  receive_wait_seconds          = 20
}

# --- Topics ---

resource "aws_sns_topic" "this" {
  for_each          = local.topics
  name              = "${var.prefix}-${each.key}"
  kms_master_key_id = local.kms_arn
  tags              = var.tags
}

data "aws_iam_policy_document" "topic" {
  for_each = local.topics

  statement {
    sid       = "EncryptedOnly"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this[each.key].arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = local.is_command[each.key] && length(var.publisher_arns) > 0 ? [1] : []
    content {
      sid       = "NamedPublish"
      actions   = ["sns:Publish"]
      resources = [aws_sns_topic.this[each.key].arn]
      principals {
        type        = "AWS"
        identifiers = var.publisher_arns
      }
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  for_each = local.topics
  arn      = aws_sns_topic.this[each.key].arn
  policy   = data.aws_iam_policy_document.topic[each.key].json
}

# --- Queues ---

resource "aws_sqs_queue" "this" {
  for_each                   = local.queues
  name                       = "${var.prefix}-${each.key}-queue"
  visibility_timeout_seconds = each.value.visibility_seconds
  message_retention_seconds  = var.retention_seconds
  receive_wait_time_seconds  = local.receive_wait_seconds
  sqs_managed_sse_enabled    = local.is_kms ? null : true
  kms_master_key_id          = local.kms_arn
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = each.value.max_receive_count
  })
  tags = var.tags
}

# What no handler could do, with the reason.
resource "aws_sqs_queue" "dead_letters" {
  for_each                   = local.queues
  name                       = "${var.prefix}-${each.key}-dlq"
  message_retention_seconds  = local.dead_letter_retention_seconds
  visibility_timeout_seconds = each.value.visibility_seconds
  sqs_managed_sse_enabled    = local.is_kms ? null : true
  kms_master_key_id          = local.kms_arn
  tags                       = var.tags
}

# No other queue can put its messages there.
resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead_letters[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}

# What SNS could not deliver to the queue: a policy or a key in its way, or a queue that is gone.
resource "aws_sqs_queue" "undelivered" {
  for_each                  = local.queues
  name                      = "${var.prefix}-${each.key}-undelivered"
  message_retention_seconds = local.dead_letter_retention_seconds
  sqs_managed_sse_enabled   = local.is_kms ? null : true
  kms_master_key_id         = local.kms_arn
  tags                      = var.tags
}

data "aws_iam_policy_document" "queue" {
  for_each = merge(
    { for name in keys(local.queues) : "${name}-queue" => { arn = aws_sqs_queue.this[name].arn, topic = local.topic_of[name] } },
    { for name in keys(local.queues) : "${name}-undelivered" => { arn = aws_sqs_queue.undelivered[name].arn, topic = local.topic_of[name] } },
    { for name in keys(local.queues) : "${name}-dlq" => { arn = aws_sqs_queue.dead_letters[name].arn, topic = null } },
  )

  statement {
    sid       = "EncryptedOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = each.value.topic == null ? [] : [each.value.topic]
    content {
      sid       = "TopicWrites"
      actions   = ["sqs:SendMessage"]
      resources = [each.value.arn]
      principals {
        type        = "Service"
        identifiers = ["sns.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [aws_sns_topic.this[statement.value].arn]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.this[each.key].id
  policy    = data.aws_iam_policy_document.queue["${each.key}-queue"].json
}

resource "aws_sqs_queue_policy" "undelivered" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.undelivered[each.key].id
  policy    = data.aws_iam_policy_document.queue["${each.key}-undelivered"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead_letters[each.key].id
  policy    = data.aws_iam_policy_document.queue["${each.key}-dlq"].json
}

resource "aws_sns_topic_subscription" "this" {
  for_each             = local.queues
  topic_arn            = aws_sns_topic.this[local.topic_of[each.key]].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this[each.key].arn
  raw_message_delivery = true
  filter_policy        = each.value.filter_policy == null ? null : jsonencode(each.value.filter_policy)
  redrive_policy       = jsonencode({ deadLetterTargetArn = aws_sqs_queue.undelivered[each.key].arn })
  # What is published before the queue may be written to would be undelivered at once.
  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.undelivered]
}
