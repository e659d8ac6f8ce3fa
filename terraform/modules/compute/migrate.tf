# The function that makes the registry's tables and the roles that the others have in its database. It alone has the owner's secret, nothing invokes it but this apply,
# and it runs before a new version of any other does.

locals {
  migrates = var.migration == null ? {} : { migrate = var.migration }
}

resource "aws_cloudwatch_log_group" "migrate" {
  for_each          = local.migrates
  name              = "/aws/lambda/${var.prefix}-migrate"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "migrate" {
  for_each           = local.migrates
  name               = "${var.prefix}-migrate"
  description        = "pudato: makes the registry's tables and roles"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

data "aws_iam_policy_document" "migrate" {
  for_each                = local.migrates
  source_policy_documents = var.vpc == null ? [] : [data.aws_iam_policy_document.network["migrate"].json]

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.migrate[each.key].arn}:*"]
  }

  statement {
    sid       = "RegistryUrls"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = concat([each.value.secret_arn], values(var.databases)[*].secret_arn)
  }
}

resource "aws_iam_role_policy" "migrate" {
  for_each = local.migrates
  name     = "handler"
  role     = aws_iam_role.migrate[each.key].id
  policy   = data.aws_iam_policy_document.migrate[each.key].json
}

resource "aws_lambda_function" "migrate" {
  for_each         = local.migrates
  function_name    = "${var.prefix}-migrate"
  description      = "pudato: makes the registry's tables and roles"
  role             = aws_iam_role.migrate[each.key].arn
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  handler          = "bootstrap"
  filename         = var.packages["core"]
  source_code_hash = filebase64sha256(var.packages["core"])
  timeout          = 120
  memory_size      = 256
  publish          = true
  environment {
    variables = merge(var.environment, {
      HANDLER_TYPE            = "migrate"
      PUDATO_LOG_FORMAT       = "json"
      REGISTRY_DATABASE_URL   = "secretsmanager:${each.value.secret_arn}"
      REGISTRY_SECRET_VERSION = each.value.version
    })
  }
  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }
  tags = var.tags

  depends_on = [aws_cloudwatch_log_group.migrate, aws_iam_role_policy.migrate]
}

# A failure ends the apply, with what the function said.
resource "aws_lambda_invocation" "migrate" {
  for_each      = local.migrates
  function_name = aws_lambda_function.migrate[each.key].function_name
  qualifier     = aws_lambda_function.migrate[each.key].version
  input         = jsonencode({ roles = { for name, database in var.databases : name => "secretsmanager:${database.secret_arn}" } })
  triggers      = { for name, database in var.databases : name => database.version }
}
