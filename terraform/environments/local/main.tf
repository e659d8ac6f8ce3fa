# Everything on an emulator: `terraform apply`, publish, look.

module "messaging" {
  source = "../../modules/messaging"
  prefix = var.prefix
  services = merge(
    { for name in ["storage", "query", "registry"] : name => { visibility_seconds = var.visibility_seconds } },
    {
      transform = { queue = false }
      results   = { topic = "results", max_receive_count = 100, visibility_seconds = var.visibility_seconds }
      history   = { topic = "events", max_receive_count = 100, visibility_seconds = var.visibility_seconds }
    },
  )
  encryption     = var.encryption
  publisher_arns = var.publisher_arns
  # ministack 1.5.33 forgets half of what an alarm is, so every plan would change all of them.
  alarms = false
}

module "storage" {
  source        = "../../modules/storage"
  prefix        = var.prefix
  containers    = { lake = "${var.prefix}-lake" }
  force_destroy = true
}

# The owner's URL is given; the roles have passwords that only an emulator may have.
locals {
  roles = { for role in ["registry", "answers"] : role => "${replace(var.prefix, "-", "_")}_${role}" }
  urls = merge(
    { owner = var.registry_database_url },
    { for name, role in local.roles : name => replace(var.registry_database_url, "/^([a-z]+://)(?:[^@/]*@)?/", "$${1}${role}:emulated@") },
  )
}

module "secret" {
  source   = "./secret"
  for_each = toset(["owner", "registry", "answers"])
  name     = each.key == "registry" ? "${var.prefix}/registry" : "${var.prefix}/registry-${each.key}"
  url      = local.urls[each.key]
}

module "compute" {
  source   = "../../modules/compute"
  prefix   = var.prefix
  packages = var.packages
  functions = {
    storage  = { uses_containers = true, memory_mb = 1024, maximum_concurrency = 8, timeout_seconds = var.timeout_seconds }
    query    = { package = "query", uses_containers = true, memory_mb = 1024, batch_size = 1, timeout_seconds = var.timeout_seconds }
    registry = { memory_mb = 512, maximum_concurrency = 3, timeout_seconds = var.timeout_seconds }
    results  = { queues = ["results", "history"], memory_mb = 1024, maximum_concurrency = 2, timeout_seconds = var.timeout_seconds }
  }
  queues            = module.messaging.queues
  results_topic_arn = module.messaging.topic_arns["results"]
  events_topic_arn  = module.messaging.topic_arns["events"]
  environment = merge(
    module.messaging.environment,
    module.storage.environment,
    { AWS_ENDPOINT_URL = var.endpoint },
  )
  container_buckets = module.storage.container_bucket_arns
  claims_bucket_arn = module.storage.claims_bucket_arn
  databases         = { for name in ["registry", "answers"] : name => { secret_arn = module.secret[name].arn, version = module.secret[name].version } }
  migration         = { secret_arn = module.secret["owner"].arn, version = module.secret["owner"].version }
  kms_key_arn       = module.messaging.kms_key_arn
}
