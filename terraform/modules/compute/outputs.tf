output "role_arns" {
  description = "The role of each function."
  value       = { for name in keys(var.functions) : name => aws_iam_role.this[name].arn }
}

output "function_names" {
  description = "The name of each function."
  value       = { for name in keys(var.functions) : name => aws_lambda_function.this[name].function_name }
}

output "versions" {
  description = "The version of each function that its queue invokes; `docs/deploy.md` says how to go back to an older one."
  value       = { for name in keys(var.functions) : name => aws_lambda_alias.live[name].function_version }
}
