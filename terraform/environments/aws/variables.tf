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
  description = "Route tables of those subnets, for S3's gateway endpoint; needed where `create_endpoints` is true."
  type        = list(string)
  default     = []
}

variable "create_endpoints" {
  description = "Whether endpoints are made for SNS, SQS, S3 and Secrets Manager; false where the VPC has them (also those of another prefix), or a NAT gateway."
  type        = bool
  default     = true
}

variable "client_security_group_ids" {
  description = "Security groups of those who read the registry beside the functions: workers, people's hosts, a VPN."
  type        = list(string)
  default     = []
}

variable "instance_class" {
  description = "Size of the registry's database."
  type        = string
  default     = "db.t4g.micro"
}

variable "database_connections_max" {
  description = "Most connections that the functions may have to it; a db.t4g.micro takes about 80 of all programs together."
  type        = number
  default     = 80
}

variable "password_version" {
  description = "Another number makes a new password of the database."
  type        = number
  default     = 1
}

variable "publisher_arns" {
  description = "Roles and users that may publish commands, and use the key of the topics where `encryption` is kms."
  type        = list(string)
  default     = []
}

variable "packages" {
  description = "The zip files core and query; where it is null, those that `cargo xtask lambda` built for the architecture."
  type        = map(string)
  default     = null
}

variable "architecture" {
  description = "x86_64 or arm64."
  type        = string
  default     = "x86_64"
}

variable "encryption" {
  description = "sqs: SQS's own encryption; kms: a key of one's own for topics and queues."
  type        = string
  default     = "sqs"
}

variable "query_worker" {
  description = "Whether a worker reads the query queue in the place of a Lambda: it can keep tables, which a Lambda cannot."
  type        = bool
  default     = false
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
  description = "Whether `terraform destroy` leaves the database with its secrets and full buckets alone."
  type        = bool
  default     = true
}
