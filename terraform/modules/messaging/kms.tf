# A key of one's own: SNS must be allowed to use it, or nothing arrives and nobody says so. Whoever publishes to an encrypted topic needs it as well.

data "aws_iam_policy_document" "key" {
  count = local.is_kms ? 1 : 0

  statement {
    sid       = "AccountAdministers"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "TopicsEncrypt"
    actions   = ["kms:GenerateDataKey*", "kms:Decrypt"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  # SNS encrypts with the rights of who publishes. A publisher of another account is allowed nothing by that account's own policies alone.
  dynamic "statement" {
    for_each = length(var.publisher_arns) > 0 ? [1] : []
    content {
      sid       = "PublishersEncrypt"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = ["*"]
      principals {
        type        = "AWS"
        identifiers = var.publisher_arns
      }
    }
  }
}

resource "aws_kms_key" "messages" {
  count                   = local.is_kms ? 1 : 0
  description             = "Messages of ${var.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key[0].json
  tags                    = var.tags
}

resource "aws_kms_alias" "messages" {
  count         = local.is_kms ? 1 : 0
  name          = "alias/${var.prefix}-messages"
  target_key_id = aws_kms_key.messages[0].key_id
}
