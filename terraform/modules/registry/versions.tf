terraform {
  required_version = ">= 1.11" # The database's password is write-only.
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}
