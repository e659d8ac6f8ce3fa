# A database of its own, where none is given. Its password is made here, lies in the secret alone, and never in Terraform's state.

locals {
  database_group = var.create_database ? aws_security_group.database[0].id : var.database_security_group_id
  secret_arn     = var.create_database ? aws_secretsmanager_secret.url[0].arn : var.secret_arn
}

ephemeral "aws_secretsmanager_random_password" "registry" {
  count               = var.create_database ? 1 : 0
  password_length     = 40
  exclude_punctuation = true
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
  password_wo                = ephemeral.aws_secretsmanager_random_password.registry[0].random_password
  password_wo_version        = var.password_version
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
}

resource "aws_secretsmanager_secret" "url" {
  count                   = var.create_database ? 1 : 0
  name                    = "${var.prefix}/registry"
  description             = "The registry's database, as pudato reads it"
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "url" {
  count     = var.create_database ? 1 : 0
  secret_id = aws_secretsmanager_secret.url[0].id
  secret_string_wo = jsonencode({
    username = "pudato"
    password = ephemeral.aws_secretsmanager_random_password.registry[0].random_password
    host     = aws_db_instance.registry[0].address
    port     = aws_db_instance.registry[0].port
    dbname   = "pudato"
  })
  secret_string_wo_version = var.password_version
}
