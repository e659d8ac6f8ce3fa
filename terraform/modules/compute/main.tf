# The handlers as Lambdas behind their queues.

locals {
  # What each function reads, by the name of the mapping.
  mappings = merge([
    for name, function in var.functions : {
      for queue in coalesce(function.queues, [name]) : "${name}-${queue}" => { function = name, queue = queue }
    }
  ]...)

  # Which secret each function reads, and which role of the database it has by it. A handler whose answers are in a table needs no database.
  database_of = {
    for name, function in var.functions : name => coalesce(function.database, contains(["registry", "results"], name) ? "registry" : "answers")
    if length(var.databases) > 0 && (var.idempotency_table_arn == null || function.database != null || contains(["registry", "results"], name))
  }
  # The secret is read when a program starts, so its version is among the settings: another one starts the function anew.
  database_environment = {
    for name, database in local.database_of : name => {
      REGISTRY_DATABASE_URL   = "secretsmanager:${var.databases[database].secret_arn}"
      REGISTRY_SECRET_VERSION = var.databases[database].version
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = var.functions
  name              = "/aws/lambda/${var.prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  for_each         = var.functions
  function_name    = "${var.prefix}-${each.key}"
  description      = "pudato: ${each.key}"
  role             = aws_iam_role.this[each.key].arn
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  handler          = "bootstrap"
  filename         = var.packages[each.value.package]
  source_code_hash = filebase64sha256(var.packages[each.value.package])
  timeout          = each.value.timeout_seconds
  memory_size      = each.value.memory_mb
  publish          = true
  ephemeral_storage {
    size = each.value.tmp_mb
  }
  environment {
    variables = merge(var.environment, { HANDLER_TYPE = each.key, PUDATO_LOG_FORMAT = "json" }, local.limits[each.key], lookup(local.database_environment, each.key, {}), each.value.environment)
  }
  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }
  tags = var.tags

  # Logs and rights are there before the first invocation, and longer than the last.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this]
}

# What the queues invoke: a version that a rollback moves, without touching the mappings.
resource "aws_lambda_alias" "live" {
  for_each         = var.functions
  name             = "live"
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = aws_lambda_function.this[each.key].version

  # What a new version needs of the tables is there before it runs.
  depends_on = [aws_lambda_invocation.migrate]
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each                = local.mappings
  event_source_arn        = var.queues[each.value.queue].arn
  function_name           = aws_lambda_alias.live[each.value.function].arn
  batch_size              = var.functions[each.value.function].batch_size
  function_response_types = ["ReportBatchItemFailures"]
  scaling_config {
    maximum_concurrency = var.functions[each.value.function].maximum_concurrency
  }

  lifecycle {
    precondition {
      condition     = var.queues[each.value.queue].visibility_seconds >= 6 * var.functions[each.value.function].timeout_seconds
      error_message = "The queue of ${each.value.queue} hides a message for ${var.queues[each.value.queue].visibility_seconds} s; 6 times the timeout of ${each.value.function} is ${6 * var.functions[each.value.function].timeout_seconds} s. Raise visibility_seconds or lower timeout_seconds."
    }
  }
}

# --- The watch over the dead-letter queues, when no Results come ---

resource "aws_cloudwatch_event_rule" "watch" {
  count               = contains(keys(var.functions), "results") ? 1 : 0
  name                = "${var.prefix}-watch"
  description         = "pudato looks at its dead-letter queues, and tells the senders"
  schedule_expression = var.watch_minutes == 1 ? "rate(1 minute)" : "rate(${var.watch_minutes} minutes)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "watch" {
  count = length(aws_cloudwatch_event_rule.watch)
  rule  = aws_cloudwatch_event_rule.watch[0].name
  arn   = aws_lambda_alias.live["results"].arn
}

resource "aws_lambda_permission" "watch" {
  count         = length(aws_cloudwatch_event_rule.watch)
  statement_id  = "Watch"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["results"].function_name
  qualifier     = aws_lambda_alias.live["results"].name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.watch[0].arn
}
