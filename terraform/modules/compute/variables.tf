variable "prefix" {
  description = "What every name begins with."
  type        = string
  default     = "pudato"
}

variable "functions" {
  description = <<-TEXT
    The Lambdas, by name. `queues` are the services whose queues it reads (its own where unset), each by at most `maximum_concurrency` containers at
    once; `package` is core or query; `uses_containers` whether it reads and writes the objects of containers; `database` which of `databases` it has (registry for
    the functions registry and results, answers for all others; none where these keep their answers in a table). Limits of the program are derived from
    these sizes (limits.tf), and `environment` overrides them. The function `results` writes Results and Events to the registry and watches the dead-letter queues.
  TEXT
  type = map(object({
    package             = optional(string, "core")
    queues              = optional(list(string))
    timeout_seconds     = optional(number, 60)
    memory_mb           = optional(number, 256)
    tmp_mb              = optional(number, 512)
    maximum_concurrency = optional(number, 4)
    batch_size          = optional(number, 10)
    uses_containers     = optional(bool, false)
    database            = optional(string)
    environment         = optional(map(string), {})
  }))
  default = {
    storage  = { uses_containers = true, memory_mb = 1024, maximum_concurrency = 8 }
    query    = { package = "query", uses_containers = true, memory_mb = 2048, tmp_mb = 4096, batch_size = 1 }
    registry = { memory_mb = 512, maximum_concurrency = 3 }
    results  = { queues = ["results", "history"], memory_mb = 1024, maximum_concurrency = 2 }
  }
  validation {
    condition     = alltrue([for function in values(var.functions) : contains(["core", "query"], function.package)])
    error_message = "functions: package must be core or query."
  }
  validation {
    condition     = alltrue([for function in values(var.functions) : function.maximum_concurrency >= 2])
    error_message = "functions: maximum_concurrency must be at least 2; Lambda takes no less."
  }
  validation {
    condition     = alltrue([for function in values(var.functions) : contains(["registry", "answers"], coalesce(function.database, "answers"))])
    error_message = "functions: database must be registry or answers."
  }
  validation {
    condition     = !contains(keys(var.functions), "migrate")
    error_message = "functions: migrate is made where `migration` says so; give this function another name."
  }
}

variable "packages" {
  description = "The zip files that `cargo xtask lambda` built: core, and query where a function needs it."
  type        = map(string)
}

variable "database_connections_max" {
  description = "Most connections that the functions may have to the registry's database; a db.t4g.micro takes about 80 of all programs together."
  type        = number
  default     = 80
}

variable "architecture" {
  description = "x86_64 or arm64, as the packages were built."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture: expected x86_64 or arm64."
  }
}

variable "queues" {
  description = "Output `queues` of the module messaging."
  type = map(object({
    url                = string
    arn                = string
    dead_letters_arn   = string
    visibility_seconds = number
  }))
}

variable "results_topic_arn" {
  description = "Where Results go."
  type        = string
}

variable "events_topic_arn" {
  description = "Where Events go."
  type        = string
}

variable "environment" {
  description = "Settings of all functions: outputs `environment` of messaging, storage and registry."
  type        = map(string)
}

variable "container_buckets" {
  description = "ARNs of the buckets of containers; handlers with `uses_containers` read and write their objects."
  type        = list(string)
  default     = []
}

variable "claims_bucket_arn" {
  description = "The bucket of claims."
  type        = string
}

variable "databases" {
  description = "Secrets that hold the URL of the registry's database, each for a role of it: `registry` may read and write the registry, `answers` stored answers alone. Output `databases` of the module registry."
  type = map(object({
    secret_arn = string
    version    = string
  }))
  default = {}
  validation {
    condition     = length(var.databases) == 0 || length(setsubtract(["answers", "registry"], keys(var.databases))) == 0
    error_message = "databases: expected registry and answers."
  }
}

variable "migration" {
  description = "The secret of the owner of the registry's tables: a function of its own makes them and the roles of `databases`, whenever its package or a secret changes. Output `migration` of the module registry; null: somebody else does it."
  type = object({
    secret_arn = string
    version    = string
  })
  default = null
  validation {
    condition     = var.migration == null || length(var.databases) > 0
    error_message = "migration: the roles of `databases` are made, and there are none."
  }
}

variable "idempotency_table_arn" {
  description = "Table of stored answers; null where the registry's database stores them."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "Output `kms_key_arn` of messaging."
  type        = string
  default     = null
}

variable "vpc" {
  description = "Where the functions run so that they reach the registry: output `vpc` of the module registry; null: outside of any."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "watch_minutes" {
  description = "How often the dead-letter queues are looked at when nothing else happens."
  type        = number
  default     = 5
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
