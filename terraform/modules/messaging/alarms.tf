# Three questions about every service: does it keep up, does it fall behind, does it give up?

locals {
  alarms = merge(
    { for name in keys(local.queues) : "${name}-age" => {
      queue       = aws_sqs_queue.this[name].name
      metric      = "ApproximateAgeOfOldestMessage"
      threshold   = var.alarm_age_seconds
      description = "A message of ${name} waits too long: is its handler running?"
    } },
    { for name in keys(local.queues) : "${name}-depth" => {
      queue       = aws_sqs_queue.this[name].name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = var.alarm_depth
      description = "The queue of ${name} grows faster than it is read."
    } },
    { for name in keys(local.queues) : "${name}-dlq" => {
      queue       = aws_sqs_queue.dead_letters[name].name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = 0
      description = "A message of ${name} was given up: `pudato dlq list ${var.prefix}-${name}-dlq` says why."
    } },
    { for name in keys(local.queues) : "${name}-undelivered" => {
      queue       = aws_sqs_queue.undelivered[name].name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = 0
      description = "SNS could not deliver to the queue of ${name}: look at its policy and its key."
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = { for name, alarm in local.alarms : name => alarm if var.alarms }
  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
