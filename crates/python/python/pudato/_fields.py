"""The names and types of the settings. A test compares them with the core's list."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


class Fields:
    """The attributes of `Settings`."""

    fabric: str
    data_dir: str
    prefix: str
    environment: str
    storage_topic_arn: str
    query_topic_arn: str
    transform_topic_arn: str
    registry_topic_arn: str
    results_topic_arn: str
    events_topic_arn: str
    storage_queue_url: str
    query_queue_url: str
    transform_queue_url: str
    registry_queue_url: str
    results_queue_url: str
    history_queue_url: str
    aws_endpoint_url: str
    registry_database_url: str
    idempotency_url: str
    replies: str
    database_connections: str
    containers: str
    claims_container: str
    claim_bytes_max: str
    concurrency: str
    visibility_seconds: str
    drain_seconds: str
    health_port: str
    log: str
    log_format: str
    duckdb_path: str
    query_seconds: str
    query_memory_bytes: str
    query_spill_bytes: str
    query_threads: str
    query_source_bytes_max: str
    query_answer_bytes_max: str
    query_scripts: str
    query_isolation: str
    dbt_project_dir: str
    dbt_profiles_dir: str
    dbt_target: str
    logic_repo_url: str
    logic_repo_branch: str
    logic_repo_subdir: str
    logic_repo_revision: str
    openlineage_url: str
    openlineage_endpoint: str
    openlineage_api_key: str
    openlineage_disabled: str
    openlineage_transport_type: str
    openlineage_transport_url: str
    openlineage_transport_endpoint: str
    openlineage_transport_log_file_path: str
    dbt: str
    dbt_env: str
    transform_seconds: str
    transform_memory_bytes: str
    logic_repo_allow_file: str
    sns_signatures: str
    handler_type: str


class Given(TypedDict, total=False):
    """The keyword arguments of `Settings`."""

    fabric: str
    data_dir: str | os.PathLike[str]
    prefix: str
    environment: str
    storage_topic_arn: str
    query_topic_arn: str
    transform_topic_arn: str
    registry_topic_arn: str
    results_topic_arn: str
    events_topic_arn: str
    storage_queue_url: str
    query_queue_url: str
    transform_queue_url: str
    registry_queue_url: str
    results_queue_url: str
    history_queue_url: str
    aws_endpoint_url: str
    registry_database_url: str
    idempotency_url: str
    replies: str
    database_connections: int | str
    containers: str | Mapping[str, str]
    claims_container: str
    claim_bytes_max: int | str
    concurrency: int | str
    visibility_seconds: int | str
    drain_seconds: int | str
    health_port: int | str
    log: str
    log_format: str
    duckdb_path: str | os.PathLike[str]
    query_seconds: int | str
    query_memory_bytes: int | str
    query_spill_bytes: int | str
    query_threads: int | str
    query_source_bytes_max: int | str
    query_answer_bytes_max: int | str
    query_scripts: bool | str
    query_isolation: str
    dbt_project_dir: str | os.PathLike[str]
    dbt_profiles_dir: str | os.PathLike[str]
    dbt_target: str
    logic_repo_url: str
    logic_repo_branch: str
    logic_repo_subdir: str
    logic_repo_revision: str
    openlineage_url: str
    openlineage_endpoint: str
    openlineage_api_key: str
    openlineage_disabled: bool | str
    openlineage_transport_type: str
    openlineage_transport_url: str
    openlineage_transport_endpoint: str
    openlineage_transport_log_file_path: str | os.PathLike[str]
    dbt: str | os.PathLike[str]
    dbt_env: str
    transform_seconds: int | str
    transform_memory_bytes: int | str
    logic_repo_allow_file: bool | str
    sns_signatures: str
    handler_type: str
