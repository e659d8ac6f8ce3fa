# What a function may use, derived from its size, so that the program gives up before Lambda ends it.

locals {
  mebibyte = 1048576

  # A container keeps its connections as long as it lives.
  connections_per_container = 2
  # The schedule of the watch starts one container beside those of its queues.
  containers = sum(concat(
    [for mapping in values(local.mappings) : var.functions[mapping.function].maximum_concurrency],
    [contains(keys(var.functions), "results") ? 1 : 0],
  ))
  connections = local.containers * local.connections_per_container

  # An object is in memory as bytes, as base64 or text in the answer, as the answer's JSON and as a claim's body, each up to 4/3 of it: with a copy on the
  # way some 100 MiB for one of 16 MiB. Four at once, and ten answers of a batch that wait to be published, are 400 and 210 MiB of storage's 1024 MB. A
  # command of the registry is a claim of at most that size, whose answer is small: 400 of its 512 MB.
  claims_environment = {
    PUDATO_CONCURRENCY     = "4"
    PUDATO_CLAIM_BYTES_MAX = tostring(16 * local.mebibyte)
  }

  # SQL ends 30 s before the function does: time to fetch what it reads and to publish what it answers; of short timeouts half. It has half of the
  # memory, and the program and its answer the rest. /tmp holds its sources, what does not fit into memory, and the object that it writes.
  query_environment = {
    for name, function in var.functions : name => {
      PUDATO_QUERY_SECONDS          = tostring(max(function.timeout_seconds - 30, floor(function.timeout_seconds / 2), 1))
      PUDATO_QUERY_MEMORY_BYTES     = tostring(floor(function.memory_mb / 2) * local.mebibyte)
      PUDATO_QUERY_SOURCE_BYTES_MAX = tostring(floor(function.tmp_mb / 4) * local.mebibyte)
      PUDATO_QUERY_SPILL_BYTES      = tostring(floor(function.tmp_mb / 2) * local.mebibyte)
    } if function.package == "query"
  }

  limits = {
    for name in keys(var.functions) : name => merge(
      { PUDATO_DATABASE_CONNECTIONS = tostring(local.connections_per_container) },
      contains(["storage", "registry"], name) ? local.claims_environment : {},
      lookup(local.query_environment, name, {}),
    )
  }
}
