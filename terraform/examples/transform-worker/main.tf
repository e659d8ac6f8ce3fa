# A worker of transform as an ECS task. It needs an image with `pudato`, dbt and git; any host with them does as well.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "prefix" {
  description = "As the system's."
  type        = string
  default     = "pudato"
}

variable "image" {
  description = "An image that has pudato, dbt and git."
  type        = string
}

variable "environment" {
  description = "Settings: output `environment` of environments/aws, applied with `transform_worker = true`, and those of dbt."
  type        = map(string)
  validation {
    condition     = contains(keys(var.environment), "PUDATO_TRANSFORM_QUEUE_URL")
    error_message = "environment: PUDATO_TRANSFORM_QUEUE_URL is missing; apply the system with transform_worker = true, so that transform has a queue."
  }
}

variable "cluster_arn" {
  description = "The ECS cluster."
  type        = string
}

variable "execution_role_arn" {
  description = "Pulls the image and writes logs."
  type        = string
}

variable "task_role_arn" {
  description = "What the worker may do: as a function's role, on the transform queue."
  type        = string
}

variable "subnet_ids" {
  description = "Where it runs."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Groups that reach the registry (the system's `client_security_group_ids` names one of them) and the warehouse."
  type        = list(string)
}

data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.prefix}-transform"
  retention_in_days = 30
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.prefix}-transform"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024
  memory                   = 4096
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn
  container_definitions = jsonencode([{
    name    = "worker"
    image   = var.image
    command = ["pudato", "runner", "--handler", "transform"]
    # A build that runs is finished, or given back and run again elsewhere.
    stopTimeout = 120
    environment = [for name, value in merge(var.environment, { PUDATO_DRAIN_SECONDS = "110" }) : { name = name, value = value }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = "worker"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  name            = "${var.prefix}-transform"
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = 1
  launch_type     = "FARGATE"
  network_configuration {
    subnets         = var.subnet_ids
    security_groups = var.security_group_ids
  }
}
