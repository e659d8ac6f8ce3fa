# The database's password: made here, kept in secrets alone, and never in Terraform's state.
#
# A password that is made anew in every run must not be given to two resources: an apply that stops between them would leave them with different ones. So it
# is written to a secret of its own first, and the database and the secret of its URL take what is read back from there. Whatever stops in between, the
# next apply goes on with the same password.

locals {
  # `registry` may read and write the registry, `answers` stored answers alone.
  roles = toset(var.create_database ? ["registry", "answers"] : [])

  # Numbers tell the provider that a value it cannot see is another one. They are made of what the value depends on, so that the next apply catches
  # up on whatever an apply did not come to: the database on its password, the URL on its database (another one has another resource_id) and password.
  password_number = one([for version in aws_secretsmanager_secret_version.password : parseint(substr(sha256(version.version_id), 0, 7), 16)])
  url_number      = one([for database in aws_db_instance.registry : parseint(substr(sha256("${database.resource_id} ${local.password_number}"), 0, 7), 16)])
  # Another number, because this secret once held the owner's URL.
  role_number = one([for number in local.url_number[*] : parseint(substr(sha256("roles ${number}"), 0, 7), 16)])
}

ephemeral "aws_secretsmanager_random_password" "registry" {
  count               = var.create_database ? 1 : 0
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "password" {
  count                   = var.create_database ? 1 : 0
  name                    = "${var.prefix}/registry-password"
  description             = "The password of the registry's database, for Terraform alone"
  recovery_window_in_days = local.recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "password" {
  count                    = var.create_database ? 1 : 0
  secret_id                = aws_secretsmanager_secret.password[0].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.registry[0].random_password
  secret_string_wo_version = var.password_version
}

# Its version is not known before it is written, so that on the first apply, and on every change, it is read after that and not while planning.
ephemeral "aws_secretsmanager_secret_version" "password" {
  count      = var.create_database ? 1 : 0
  secret_id  = aws_secretsmanager_secret.password[0].id
  version_id = aws_secretsmanager_secret_version.password[0].version_id
}

# --- The owner of the tables: the database's master, for the function that makes tables and roles ---

resource "aws_secretsmanager_secret" "owner" {
  count                   = var.create_database ? 1 : 0
  name                    = "${var.prefix}/registry-owner"
  description             = "The registry's database as its owner, for pudato's function migrate alone"
  recovery_window_in_days = local.recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "owner" {
  count     = var.create_database ? 1 : 0
  secret_id = aws_secretsmanager_secret.owner[0].id
  secret_string_wo = jsonencode({
    username = "pudato"
    password = ephemeral.aws_secretsmanager_secret_version.password[0].secret_string
    host     = aws_db_instance.registry[0].address
    port     = aws_db_instance.registry[0].port
    dbname   = "pudato"
  })
  secret_string_wo_version = local.url_number
}

# --- The roles of those who work every day. The function gives them in the database the passwords that stand here, so nothing else has to know them ---

ephemeral "aws_secretsmanager_random_password" "role" {
  for_each            = local.roles
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "role" {
  for_each                = local.roles
  name                    = each.key == "registry" ? "${var.prefix}/registry" : "${var.prefix}/registry-${each.key}"
  description             = "The registry's database, as pudato reads it: role ${each.key}"
  recovery_window_in_days = local.recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "role" {
  for_each  = local.roles
  secret_id = aws_secretsmanager_secret.role[each.key].id
  secret_string_wo = jsonencode({
    username = "pudato_${each.key}"
    password = ephemeral.aws_secretsmanager_random_password.role[each.key].random_password
    host     = aws_db_instance.registry[0].address
    port     = aws_db_instance.registry[0].port
    dbname   = "pudato"
  })
  secret_string_wo_version = local.role_number
}

moved {
  from = aws_secretsmanager_secret.url[0]
  to   = aws_secretsmanager_secret.role["registry"]
}

moved {
  from = aws_secretsmanager_secret_version.url[0]
  to   = aws_secretsmanager_secret_version.role["registry"]
}
