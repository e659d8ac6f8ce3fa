variable "endpoint" {
  description = "Where the emulator listens."
  type        = string
  default     = "http://127.0.0.1:4566"
}

variable "region" {
  description = "The region that it plays."
  type        = string
  default     = "us-east-1"
}

variable "prefix" {
  description = "What every name begins with; another one is a second, independent system."
  type        = string
  default     = "pudato"
}

variable "packages" {
  description = "The zip files that `cargo xtask lambda` built."
  type        = map(string)
  default = {
    core  = "../../../target/packages/core.zip"
    query = "../../../target/packages/query.zip"
  }
}

variable "registry_database_url" {
  description = "A PostgreSQL that the functions reach, e.g. postgres://pudato@127.0.0.1:5432/pudato"
  type        = string
  sensitive   = true
}

variable "timeout_seconds" {
  description = "Longest time of one invocation."
  type        = number
  default     = 30
}

variable "visibility_seconds" {
  description = "How long a received message is hidden: 6 times the timeout, or more."
  type        = number
  default     = 180
}

variable "encryption" {
  description = "sqs: SQS's own encryption; kms: a key of one's own for topics and queues."
  type        = string
  default     = "sqs"
}

variable "publisher_arns" {
  description = "Roles and users that may publish commands, and use the key of the topics where `encryption` is kms."
  type        = list(string)
  default     = []
}
