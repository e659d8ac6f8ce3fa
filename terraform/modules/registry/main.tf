# How Lambdas reach PostgreSQL: a network of their own group, endpoints for what they call, and a secret that holds the URL.
#
# What it costs (us-east-1, list prices; docs/deploy.md has the sum): each interface endpoint 0.01 USD an hour in each subnet's zone and 0.01 USD
# a GB; a NAT gateway instead 0.045 USD an hour and 0.045 USD a GB. S3's gateway endpoint is free. A db.t4g.micro is 0.016 USD an hour.

data "aws_region" "current" {}

data "aws_vpc" "this" {
  id = var.vpc_id
}

locals {
  services = var.create_endpoints ? toset(["sns", "sqs", "secretsmanager"]) : toset([])
}

resource "aws_security_group" "functions" {
  name_prefix = "${var.prefix}-functions-"
  description = "pudato: Lambdas that reach the registry"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.prefix}-functions" })
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.functions.id
  description       = "SNS, SQS, S3 and secrets"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = aws_security_group.functions.id
  description                  = "The registry"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = local.database_group
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = local.database_group
  description                  = "pudato's Lambdas"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = aws_security_group.functions.id
}

# Counted and not named, since a group may be made in the same apply.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  count                        = length(var.client_security_group_ids)
  security_group_id            = local.database_group
  description                  = "Workers and people"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = var.client_security_group_ids[count.index]
}

# --- Endpoints: without them a Lambda in a VPC reaches no AWS API ---

# An endpoint's private name redirects everybody in the VPC to it, so it admits everybody there; who may do what is decided by AWS and not by the network.
resource "aws_security_group" "endpoints" {
  count       = var.create_endpoints ? 1 : 0
  name_prefix = "${var.prefix}-endpoints-"
  description = "pudato: endpoints of AWS"
  vpc_id      = var.vpc_id
  ingress {
    description = "Everybody in the VPC"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = distinct(concat([data.aws_vpc.this.cidr_block], data.aws_vpc.this.cidr_block_associations[*].cidr_block))
  }
  tags = merge(var.tags, { Name = "${var.prefix}-endpoints" })
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.services
  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${data.aws_region.current.name}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = merge(var.tags, { Name = "${var.prefix}-${each.key}" })
}

resource "aws_vpc_endpoint" "s3" {
  count             = var.create_endpoints ? 1 : 0
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${data.aws_region.current.name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
  tags              = merge(var.tags, { Name = "${var.prefix}-s3" })
}
