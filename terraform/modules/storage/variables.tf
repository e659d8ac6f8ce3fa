variable "prefix" {
  description = "What the bucket of claims is called after, unless `claims_bucket` names it."
  type        = string
  default     = "pudato"
}

variable "containers" {
  description = "Container names and the buckets that they are; bucket names are unique in the world."
  type        = map(string)
}

variable "claims_bucket" {
  description = "The bucket of messages that are too large; `<prefix>-claims` where it is null."
  type        = string
  default     = null
}

variable "claims_days" {
  description = "How long a claim is kept: longer than queue (7 days) and dead-letter queue (14 days) keep the message that points to it."
  type        = number
  default     = 30
  validation {
    condition     = var.claims_days >= 22
    error_message = "claims_days: a message may wait 21 days, so at least 22."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` removes buckets that hold objects."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
