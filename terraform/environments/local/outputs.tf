output "pudato_toml" {
  description = "The settings of whoever publishes or looks: `terraform output -raw pudato_toml > pudato.toml`."
  value = templatefile("../../modules/messaging/pudato.toml.tftpl", {
    settings = merge(
      { for name, value in module.messaging.environment : trimprefix(lower(name), "pudato_") => value },
      { claims_container = module.storage.environment.PUDATO_CLAIMS_CONTAINER },
      { registry_database_url = "secretsmanager:${module.secret["registry"].arn}", aws_endpoint_url = var.endpoint },
    )
    containers = module.storage.containers
  })
}

output "functions" {
  description = "The functions and the versions that their queues invoke."
  value       = module.compute.versions
}

output "queues" {
  description = "The queues."
  value       = { for name, queue in module.messaging.queues : name => queue.url }
}
