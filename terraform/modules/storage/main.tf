# Buckets of containers, and the bucket of claims.

locals {
  claims  = coalesce(var.claims_bucket, "${var.prefix}-claims")
  buckets = merge(var.containers, { (local.claims) = local.claims })
}

resource "aws_s3_bucket" "this" {
  for_each      = toset(values(local.buckets))
  bucket        = each.key
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = aws_s3_bucket.this
  statement {
    sid       = "EncryptedOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]
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
}

resource "aws_s3_bucket_policy" "this" {
  for_each   = aws_s3_bucket.this
  bucket     = each.value.id
  policy     = data.aws_iam_policy_document.bucket[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# Old versions of what users store can be brought back.
resource "aws_s3_bucket_versioning" "containers" {
  for_each = toset(values(var.containers))
  bucket   = aws_s3_bucket.this[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "claims" {
  bucket = aws_s3_bucket.this[local.claims].id
  rule {
    id     = "expire-claims"
    status = "Enabled"
    filter {}
    expiration {
      days = var.claims_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}
