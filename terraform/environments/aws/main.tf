# Everything on AWS: topics, queues, Lambdas, buckets, and a registry in a VPC.

locals {
  timeout_seconds       = 60
  query_timeout_seconds = 300
  visibility_seconds    = 6 * local.timeout_seconds
  # A worker renews what it has in hand, so that a message of one that died comes again soon.
  worker_visibility_seconds = 60

  # Where `cargo xtask lambda` puts them.
  package_folder = var.architecture == "arm64" ? "../../../target/packages/arm64" : "../../../target/packages"
  packages       = var.packages != null ? var.packages : { for name in ["core", "query"] : name => "${local.package_folder}/${name}.zip" }

  # Of the functions; each has its own secret beside.
  environment = merge(module.messaging.environment, module.storage.environment)
}

module "messaging" {
  source = "../../modules/messaging"
  prefix = var.prefix
  services = {
    storage   = { visibility_seconds = local.visibility_seconds }
    query     = { visibility_seconds = var.query_worker ? local.worker_visibility_seconds : 6 * local.query_timeout_seconds }
    registry  = { visibility_seconds = local.visibility_seconds }
    transform = { queue = var.transform_worker, visibility_seconds = local.worker_visibility_seconds }
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
  source                    = "../../modules/registry"
  prefix                    = var.prefix
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  route_table_ids           = var.route_table_ids
  create_endpoints          = var.create_endpoints
  client_security_group_ids = var.client_security_group_ids
  instance_class            = var.instance_class
  password_version          = var.password_version
  deletion_protection       = var.deletion_protection
}

module "compute" {
  source       = "../../modules/compute"
  prefix       = var.prefix
  packages     = local.packages
  architecture = var.architecture
  # At once they have half of the connections that the smallest database takes, so that while an update replaces them the old containers, which live on for
  # minutes, have room beside the new ones.
  functions = merge(
    {
      storage  = { uses_containers = true, memory_mb = 1024, maximum_concurrency = 8, timeout_seconds = local.timeout_seconds }
      registry = { memory_mb = 512, maximum_concurrency = 3, timeout_seconds = local.timeout_seconds }
      # It has the Results of a batch in memory at once, each as large as storage's largest.
      results = { queues = ["results", "history"], memory_mb = 1024, maximum_concurrency = 2, timeout_seconds = local.timeout_seconds }
    },
    # One statement at a time: ten would share one memory and one deadline.
    { for name in var.query_worker ? [] : ["query"] : name => {
      package = "query", uses_containers = true, memory_mb = 2048, tmp_mb = 4096, batch_size = 1, maximum_concurrency = 4, timeout_seconds = local.query_timeout_seconds
    } },
  )
  database_connections_max = var.database_connections_max

  queues            = module.messaging.queues
  results_topic_arn = module.messaging.topic_arns["results"]
  events_topic_arn  = module.messaging.topic_arns["events"]
  environment       = local.environment
  container_buckets = module.storage.container_bucket_arns
  claims_bucket_arn = module.storage.claims_bucket_arn
  databases         = module.registry.databases
  migration         = module.registry.migration
  kms_key_arn       = module.messaging.kms_key_arn
  vpc               = module.registry.vpc
}
