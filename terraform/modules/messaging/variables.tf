variable "prefix" {
  description = "What every name begins with. Another prefix is another, independent system."
  type        = string
  default     = "pudato"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix: expected 1 to 40 letters, digits, '-' or '_'."
  }
}

variable "services" {
  description = <<-TEXT
    What there is, by name; a new service is one line. Each has a topic (`<prefix>-<name>-commands` unless `topic` names another) and, where
    something reads it, a queue with a dead-letter queue. `visibility_seconds` is at least 6 times the timeout of the Lambda that reads.
    `filter_policy` lets the queue hear only messages whose attributes have these values.
  TEXT
  type = map(object({
    topic              = optional(string)
    queue              = optional(bool, true)
    visibility_seconds = optional(number, 360)
    max_receive_count  = optional(number, 6)
    filter_policy      = optional(map(list(string)))
  }))
  default = {
    storage   = {}
    query     = {}
    registry  = {}
    transform = { queue = false } # Nothing reads it until a worker does: see examples/transform-worker.
    results   = { topic = "results", max_receive_count = 100 }
    history   = { topic = "events", max_receive_count = 100 }
  }
  validation {
    condition     = alltrue([for service in values(var.services) : service.max_receive_count >= 5])
    error_message = "services: max_receive_count must be at least 5, since Lambda also counts receives that it throttles."
  }
}

variable "retention_seconds" {
  description = "How long a queue keeps a message that nobody handles: 7 days. Dead-letter queues keep it 14 days."
  type        = number
  default     = 604800
}

variable "encryption" {
  description = "`sqs`: SQS's own encryption. `kms`: a key of this module, which SNS may use; topics are encrypted as well then. It costs 1 USD a month and its calls."
  type        = string
  default     = "sqs"
  validation {
    condition     = contains(["sqs", "kms"], var.encryption)
    error_message = "encryption: expected sqs or kms."
  }
}

variable "publisher_arns" {
  description = "Roles and users that may publish commands and use the key of the topics, also of other accounts. Handlers publish Results and Events by the policies of their roles."
  type        = list(string)
  default     = []
}

variable "alarms" {
  description = "Whether there are alarms."
  type        = bool
  default     = true
}

variable "alarm_actions" {
  description = "ARNs that are told of alarms, e.g. an SNS topic of the people on call."
  type        = list(string)
  default     = []
}

variable "alarm_age_seconds" {
  description = "A message that waits longer raises an alarm."
  type        = number
  default     = 900
}

variable "alarm_depth" {
  description = "A queue with more messages raises an alarm."
  type        = number
  default     = 10000
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
