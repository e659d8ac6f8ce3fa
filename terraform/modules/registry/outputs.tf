output "vpc" {
  description = "Where functions must run to reach the registry: variable `vpc` of the module compute."
  value = {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.functions.id]
  }
}

output "secret_arn" {
  description = "The secret that holds the registry's URL."
  value       = local.secret_arn
}

output "environment" {
  description = "The settings of the registry, as environment variables of pudato. The secret is read when a program starts, so its version is among them: another one starts all of them anew."
  value = merge(
    { REGISTRY_DATABASE_URL = "secretsmanager:${local.secret_arn}" },
    { for version in aws_secretsmanager_secret_version.url : "REGISTRY_SECRET_VERSION" => version.version_id },
  )
}
