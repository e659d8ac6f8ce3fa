output "vpc" {
  description = "Where functions must run to reach the registry: variable `vpc` of the module compute."
  value = {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.functions.id]
  }
}

output "secret_arn" {
  description = "The secret that holds the registry's URL, as whoever reads and writes it has it: workers and people."
  value       = local.databases["registry"].secret_arn
}

output "databases" {
  description = "The secrets of the roles of the database: variable `databases` of the module compute."
  value       = local.databases
}

output "migration" {
  description = "The secret of the owner: variable `migration` of the module compute; null where the database was there."
  value = one([for version in aws_secretsmanager_secret_version.owner : {
    secret_arn = aws_secretsmanager_secret.owner[0].arn
    version    = version.version_id
  }])
}

output "environment" {
  description = "The settings of the registry, as environment variables of pudato. The secret is read when a program starts, so its version is among them: another one starts all of them anew."
  value = merge(
    { REGISTRY_DATABASE_URL = "secretsmanager:${local.databases["registry"].secret_arn}" },
    var.create_database ? { REGISTRY_SECRET_VERSION = local.databases["registry"].version } : {},
  )
}
