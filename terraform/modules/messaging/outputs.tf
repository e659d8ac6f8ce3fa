output "topic_arns" {
  description = "ARN of each topic, by its name without the prefix, e.g. `storage-commands`."
  value       = { for topic in local.topics : topic => aws_sns_topic.this[topic].arn }
}

output "queues" {
  description = "What reads and writes needs to know of each queue: url, arn, dead_letters_arn, visibility_seconds, topic_arn."
  value = {
    for name in keys(local.queues) : name => {
      url                = aws_sqs_queue.this[name].url
      arn                = aws_sqs_queue.this[name].arn
      dead_letters_arn   = aws_sqs_queue.dead_letters[name].arn
      visibility_seconds = aws_sqs_queue.this[name].visibility_timeout_seconds
    }
  }
}

output "kms_key_arn" {
  description = "The key of messages; null where SQS's own encryption is used."
  value       = local.kms_arn
}

output "environment" {
  description = "The settings of topics and queues, as environment variables of pudato."
  value = merge(
    { PUDATO_FABRIC = "aws", PUDATO_PREFIX = var.prefix },
    {
      for name in keys(var.services) : "PUDATO_${upper(name)}_TOPIC_ARN" => aws_sns_topic.this[local.topic_of[name]].arn
      if contains(["storage", "query", "transform", "registry"], name)
    },
    {
      PUDATO_RESULTS_TOPIC_ARN = aws_sns_topic.this["results"].arn
      PUDATO_EVENTS_TOPIC_ARN  = aws_sns_topic.this["events"].arn
    },
    {
      for name in keys(local.queues) : "PUDATO_${upper(name)}_QUEUE_URL" => aws_sqs_queue.this[name].url
      if contains(["storage", "query", "transform", "registry", "results", "history"], name)
    },
  )
}
