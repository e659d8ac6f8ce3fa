variable "region" {
  description = "Where everything lies, e.g. eu-west-1."
  type        = string
}

variable "prefix" {
  description = "What every name begins with; another one is a second, independent system."
  type        = string
  default     = "pudato"
}

variable "containers" {
  description = "Container names and the buckets that are made for them; bucket names are unique in the world."
  type        = map(string)
}

variable "claims_bucket" {
  description = "The bucket of messages that are too large; unique in the world."
  type        = string
}

variable "vpc_id" {
  description = "The VPC of the registry."
  type        = string
}

variable "subnet_ids" {
  description = "Its private subnets, in two zones or more."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Route tables of those subnets, for S3's gateway endpoint."
  type        = list(string)
  default     = []
}

variable "create_endpoints" {
  description = "Whether endpoints are made for SNS, SQS, S3 and Secrets Manager; false where the VPC has them, or a NAT gateway."
  type        = bool
  default     = true
}

variable "publisher_arns" {
  description = "Roles and users that may publish commands."
  type        = list(string)
  default     = []
}

variable "packages" {
  description = "The zip files that `cargo xtask lambda` built."
  type        = map(string)
  default = {
    core  = "../../../target/packages/core.zip"
    query = "../../../target/packages/query.zip"
  }
}

variable "architecture" {
  description = "x86_64 or arm64, as the packages were built."
  type        = string
  default     = "x86_64"
}

variable "encryption" {
  description = "sqs: SQS's own encryption; kms: a key of one's own for topics and queues."
  type        = string
  default     = "sqs"
}

variable "transform_worker" {
  description = "Whether a worker reads the transform queue (examples/transform-worker); it has no queue otherwise."
  type        = bool
  default     = false
}

variable "alarm_actions" {
  description = "ARNs that are told of alarms."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` leaves database and full buckets alone."
  type        = bool
  default     = true
}
