output "container_bucket_arns" {
  description = "ARNs of the buckets of containers."
  value       = [for bucket in sort(values(var.containers)) : aws_s3_bucket.this[bucket].arn]
}

output "claims_bucket_arn" {
  description = "ARN of the bucket of claims."
  value       = aws_s3_bucket.this[local.claims].arn
}

output "containers" {
  description = "Containers as `[containers]` of `pudato.toml` has them."
  value       = { for name, bucket in var.containers : name => "s3://${aws_s3_bucket.this[bucket].bucket}" }
}

output "environment" {
  description = "The settings of storage, as environment variables of pudato."
  value = {
    PUDATO_CLAIMS_CONTAINER = aws_s3_bucket.this[local.claims].bucket
    PUDATO_CONTAINERS       = join(",", [for name, bucket in var.containers : "${name}=s3://${aws_s3_bucket.this[bucket].bucket}"])
  }
}
