# Everything on AWS: topics, queues, Lambdas, buckets, and a registry in a VPC.

locals {
  timeout_seconds    = 60
  visibility_seconds = 6 * local.timeout_seconds
}

module "messaging" {
  source = "../../modules/messaging"
  prefix = var.prefix
  services = {
    storage   = { visibility_seconds = local.visibility_seconds }
    query     = { visibility_seconds = 6 * 300 }
    registry  = { visibility_seconds = local.visibility_seconds }
    transform = { queue = var.transform_worker, visibility_seconds = 60 }
    results   = { topic = "results", max_receive_count = 100, visibility_seconds = local.visibility_seconds }
    history   = { topic = "events", max_receive_count = 100, visibility_seconds = local.visibility_seconds }
  }
  encryption     = var.encryption
  publisher_arns = var.publisher_arns
  alarm_actions  = var.alarm_actions
}

module "storage" {
  source        = "../../modules/storage"
  prefix        = var.prefix
  containers    = var.containers
  claims_bucket = var.claims_bucket
  force_destroy = !var.deletion_protection
}

module "registry" {
  source              = "../../modules/registry"
  prefix              = var.prefix
  vpc_id              = var.vpc_id
  subnet_ids          = var.subnet_ids
  route_table_ids     = var.route_table_ids
  create_endpoints    = var.create_endpoints
  deletion_protection = var.deletion_protection
}

module "compute" {
  source       = "../../modules/compute"
  prefix       = var.prefix
  packages     = var.packages
  architecture = var.architecture
  functions = {
    storage  = { uses_containers = true, timeout_seconds = local.timeout_seconds }
    query    = { package = "query", uses_containers = true, memory_mb = 2048, tmp_mb = 4096, timeout_seconds = 300 }
    registry = { timeout_seconds = local.timeout_seconds }
    results  = { queues = ["results", "history"], maximum_concurrency = 2, timeout_seconds = local.timeout_seconds }
  }
  queues            = module.messaging.queues
  results_topic_arn = module.messaging.topic_arns["results"]
  events_topic_arn  = module.messaging.topic_arns["events"]
  environment       = merge(module.messaging.environment, module.storage.environment, module.registry.environment)
  container_buckets = module.storage.container_bucket_arns
  claims_bucket_arn = module.storage.claims_bucket_arn
  secret_arns       = [module.registry.secret_arn]
  kms_key_arn       = module.messaging.kms_key_arn
  vpc               = module.registry.vpc
}
