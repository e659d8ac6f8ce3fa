variable "prefix" {
  description = "What every name begins with."
  type        = string
  default     = "pudato"
}

variable "vpc_id" {
  description = "The VPC of the database."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in two zones or more."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Route tables of those subnets, for S3's gateway endpoint; needed where `create_endpoints` is true."
  type        = list(string)
  default     = []
  validation {
    condition     = !var.create_endpoints || length(var.route_table_ids) > 0
    error_message = "route_table_ids: S3's endpoint needs the route tables of subnet_ids, since without a route no claim and no object is reached. Name them, or set create_endpoints = false where the VPC has endpoints or a NAT gateway."
  }
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

variable "create_database" {
  description = "Whether a database is made; false where `secret_arn` and `database_security_group_id` name one."
  type        = bool
  default     = true
}

variable "secret_arn" {
  description = "A secret that holds the URL of a database, or the JSON with username, password, host, port and dbname, for whoever reads and writes the registry. Its tables are made with `pudato registry migrate --grant ROLE`."
  type        = string
  default     = null
}

variable "answers_secret_arn" {
  description = "The same for who stores answers and nothing else, whose role may use the table `answer` alone; `secret_arn` where it is unset."
  type        = string
  default     = null
}

variable "database_security_group_id" {
  description = "The security group of that database."
  type        = string
  default     = null
}

variable "postgres_version" {
  description = "Major version of PostgreSQL."
  type        = string
  default     = "17"
}

variable "instance_class" {
  description = "Size of the database."
  type        = string
  default     = "db.t4g.micro"
}

variable "storage_gb" {
  description = "Its disk."
  type        = number
  default     = 20
}

variable "multi_az" {
  description = "Whether a second one stands by in another zone; it doubles the price."
  type        = bool
  default     = false
}

variable "password_version" {
  description = "Another number makes a new password."
  type        = number
  default     = 1
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` leaves the database and its secrets alone; it ends with an error there."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
