# A database of its own, where none is given.

locals {
  database_group = var.create_database ? aws_security_group.database[0].id : var.database_security_group_id
  # Of the roles of the database: who has which is for the module compute to say.
  databases = var.create_database ? {
    for role in local.roles : role => {
      secret_arn = aws_secretsmanager_secret.role[role].arn
      version    = aws_secretsmanager_secret_version.role[role].version_id
    }
    } : {
    registry = { secret_arn = var.secret_arn, version = "" }
    answers  = { secret_arn = coalesce(var.answers_secret_arn, var.secret_arn), version = "" }
  }
  recovery_days = var.deletion_protection ? 30 : 0
}

resource "aws_security_group" "database" {
  count       = var.create_database ? 1 : 0
  name_prefix = "${var.prefix}-registry-"
  description = "pudato: the registry's database"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.prefix}-registry" })
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_subnet_group" "registry" {
  count      = var.create_database ? 1 : 0
  name       = "${var.prefix}-registry"
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_db_parameter_group" "registry" {
  count  = var.create_database ? 1 : 0
  name   = "${var.prefix}-registry"
  family = "postgres${var.postgres_version}"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  tags = var.tags
}

resource "aws_db_instance" "registry" {
  count                      = var.create_database ? 1 : 0
  identifier                 = "${var.prefix}-registry"
  engine                     = "postgres"
  engine_version             = var.postgres_version
  instance_class             = var.instance_class
  allocated_storage          = var.storage_gb
  storage_type               = "gp3"
  storage_encrypted          = true
  db_name                    = "pudato"
  username                   = "pudato"
  password_wo                = ephemeral.aws_secretsmanager_secret_version.password[0].secret_string
  password_wo_version        = local.password_number
  parameter_group_name       = aws_db_parameter_group.registry[0].name
  db_subnet_group_name       = aws_db_subnet_group.registry[0].name
  vpc_security_group_ids     = [aws_security_group.database[0].id]
  publicly_accessible        = false
  multi_az                   = var.multi_az
  backup_retention_period    = 7
  copy_tags_to_snapshot      = true
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = !var.deletion_protection
  final_snapshot_identifier  = var.deletion_protection ? "${var.prefix}-registry-last" : null
  auto_minor_version_upgrade = true
  tags                       = var.tags

  # What a resource depends on is removed after it, so a database that is protected keeps its secrets as well. What they hold stays there too: the removal
  # of a secret's current version removes nothing.
  depends_on = [aws_secretsmanager_secret.role, aws_secretsmanager_secret.owner, aws_secretsmanager_secret_version.password]
}
