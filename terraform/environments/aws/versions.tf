terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
  # State is shared by all who deploy: uncomment, and make the bucket first (docs/deploy.md).
  # backend "s3" {
  #   bucket       = "acme-terraform"
  #   key          = "pudato.tfstate"
  #   region       = "eu-west-1"
  #   use_lockfile = true
  # }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { Project = var.prefix, ManagedBy = "terraform" }
  }
}
