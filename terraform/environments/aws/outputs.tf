output "pudato_toml" {
  description = "The settings of whoever publishes or looks: `terraform output -raw pudato_toml > pudato.toml`."
  value = templatefile("../../modules/messaging/pudato.toml.tftpl", {
    settings = merge(
      { for name, value in module.messaging.environment : trimprefix(lower(name), "pudato_") => value },
      { claims_container = module.storage.environment.PUDATO_CLAIMS_CONTAINER },
      { registry_database_url = "secretsmanager:${module.registry.secret_arn}" },
    )
    containers = module.storage.containers
  })
}

output "environment" {
  description = "The same settings as environment variables, for a worker in a container: variable `environment` of examples/transform-worker."
  value       = merge(local.environment, module.registry.environment)
}

output "database_connections" {
  description = "Most connections to the database that the functions have at once, of `database_connections_max`."
  value       = module.compute.database_connections
}

output "functions" {
  description = "The functions and the versions that their queues invoke."
  value       = module.compute.versions
}

output "queues" {
  description = "The queues."
  value       = { for name, queue in module.messaging.queues : name => queue.url }
}
