output "role_arns" {
  description = "The role of each function."
  value       = { for name in keys(var.functions) : name => aws_iam_role.this[name].arn }
}

output "function_names" {
  description = "The name of each function."
  value       = { for name in keys(var.functions) : name => aws_lambda_function.this[name].function_name }
}

output "database_connections" {
  description = "Most connections to the registry's database that all functions have at once."
  value       = local.connections
  precondition {
    condition     = local.connections <= var.database_connections_max
    error_message = "database_connections_max: the functions may have ${local.connections} connections to the database at once (${local.containers} containers, ${local.connections_per_container} each), and ${var.database_connections_max} are allowed. Lower maximum_concurrency in functions, or make the database larger and then this number."
  }
}

output "versions" {
  description = "The version of each function that its queue invokes; `docs/deploy.md` says how to go back to an older one."
  value       = { for name in keys(var.functions) : name => aws_lambda_alias.live[name].function_version }
}
