# Where an emulator keeps the registry's URL, as AWS would.

variable "name" {
  description = "What it is called."
  type        = string
}

variable "url" {
  description = "What it holds."
  type        = string
  sensitive   = true
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id     = aws_secretsmanager_secret.this.id
  secret_string = var.url
}

output "arn" {
  description = "Its ARN."
  value       = aws_secretsmanager_secret.this.arn
}

output "version" {
  description = "The version of what it holds."
  value       = aws_secretsmanager_secret_version.this.version_id
}
