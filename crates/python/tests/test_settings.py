"""Settings: their sources, their types, and errors that name every invalid setting."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import get_type_hints

import pytest

from pudato import _core
from pudato._fields import Fields, Given
from pudato.config import Settings, get_settings
from pudato.protocol import ConfigurationError


def test_the_typed_attributes_and_keywords_are_the_settings_of_the_core() -> None:
    known = set(_core.variables())
    assert set(Fields.__annotations__) == known
    assert set(Given.__annotations__) == known
    settings = Settings()
    assert {name for name, _ in settings} == known
    assert all(isinstance(getattr(settings, name), str) for name in known)


def test_keywords_override_the_environment_which_overrides_the_env_file_and_pudato_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pudato.toml").write_text('prefix = "toml"\nconcurrency = 2\nlog = "warn"\nvisibility_seconds = 11\n')
    (tmp_path / ".env").write_text(
        "# a comment\nexport PUDATO_PREFIX='filed'\nPUDATO_CONCURRENCY=3 # why\nPUDATO_LOG=\"debug\"\n\n"
    )
    monkeypatch.setenv("PUDATO_PREFIX", "environ")
    monkeypatch.setenv("PUDATO_CONCURRENCY", "4")
    settings = Settings(env_file=".env", prefix="given")
    assert (settings.prefix, settings.origin("prefix")) == ("given", "flag")
    assert (settings.concurrency, settings.origin("concurrency")) == ("4", "environment (PUDATO_CONCURRENCY)")
    assert (settings.log, settings.origin("log")) == ("debug", ".env (PUDATO_LOG)")
    assert (settings.visibility_seconds, settings.origin("visibility_seconds")) == ("11", "pudato.toml (visibility_seconds)")
    assert (settings.data_dir, settings.origin("data_dir")) == (".pudato", "default")


def test_an_env_file_is_read_only_on_request(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PUDATO_PREFIX=filed\n")
    assert Settings().prefix == "pudato"
    assert Settings(env_file=".env").prefix == "filed"
    with pytest.raises(ConfigurationError, match=r"missing\.env: cannot be read"):
        Settings(env_file="missing.env")
    (tmp_path / ".env").write_text("PUDATO_PREFIX=x\nnonsense\nPUDATO_LOG='open\n")
    with pytest.raises(ConfigurationError, match=r"line 2: expected NAME=VALUE\n.*line 3: PUDATO_LOG: .*closing quote"):
        Settings(env_file=".env")


def test_keywords_take_numbers_booleans_paths_and_containers(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", concurrency=7, query_scripts=False, containers={"lake": "s3://acme/objects", "raw": "s3://raw"}
    )
    assert settings.data_dir == str(tmp_path / "data")
    assert settings.concurrency == "7"
    assert settings.query_scripts == "false"
    assert settings.containers == "lake=s3://acme/objects, raw=s3://raw"


def test_an_error_lists_every_invalid_setting() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings(concurency=1, prefix=1.5, visibility_seconds=0, fabric="kafka", env="local")  # type: ignore[call-arg, arg-type]
    text = str(raised.value)
    for part in (
        "concurency: pudato has no such setting; did you mean concurrency?",
        "prefix: expected a string, a number, a boolean or a path, found 1.5",
        "PUDATO_VISIBILITY_SECONDS: expected a whole number",
        "PUDATO_FABRIC: expected embedded or aws",
        "env: pudato has no such setting; set PUDATO_FABRIC",
    ):
        assert part in text, text


def test_topics_and_queues_have_default_names() -> None:
    settings = Settings(prefix="acme")
    assert settings.storage_topic_arn == "acme-storage-commands"
    assert settings.storage_queue_url == "acme-storage-queue"
    assert settings.results_topic_arn == "acme-results"


def test_older_setting_names_still_work_or_say_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert settings.is_local and settings.endpoint_url is None and settings.localstack_endpoint == ""
    with pytest.raises(AttributeError, match="AWS_REGION"):
        _ = settings.aws_region
    monkeypatch.setenv("LOCALSTACK_ENDPOINT", "http://localhost:4566")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    settings = Settings()
    assert settings.is_local and settings.fabric == "aws"
    assert settings.endpoint_url == settings.localstack_endpoint == settings.aws_endpoint_url == "http://localhost:4566"
    assert settings.aws_region == "eu-west-1"
    for name, advice in {
        "env": "PUDATO_FABRIC",
        "data_container": "PUDATO_CONTAINERS",
        "metadata_table": "REGISTRY_DATABASE_URL",
        "logic_repo_clone_dir": "PUDATO_DATA_DIR",
        "iceberg_catalog_path": "DUCKDB_PATH",
    }.items():
        with pytest.raises(AttributeError, match=advice):
            getattr(settings, name)
    with pytest.raises(AttributeError, match="did you mean storage_topic_arn"):
        _ = settings.storage_topic  # type: ignore[attr-defined]


def test_get_settings_reads_once_until_its_cache_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("PUDATO_PREFIX", "later")
    assert get_settings() is first
    get_settings.cache_clear()
    assert get_settings().prefix == "later"


def test_secrets_are_masked_and_settings_can_be_sent_to_another_process(tmp_path: Path) -> None:
    settings = Settings(openlineage_api_key="hush", data_dir=tmp_path)
    assert "hush" not in repr(settings)
    assert "hush" not in str(dict(settings))
    again = pickle.loads(pickle.dumps(settings))
    assert again.openlineage_api_key == "hush" and again.data_dir == str(tmp_path)


def test_all_types_resolve() -> None:
    assert get_type_hints(Fields)["prefix"] is str


def test_pudato_env_of_the_first_pudato_chooses_the_fabric() -> None:
    assert Settings(variables={"PUDATO_ENV": "aws", "REGISTRY_DATABASE_URL": "sqlite::memory:"}).fabric == "aws"
    assert Settings(variables={"PUDATO_ENV": "local"}).fabric == "embedded"
    emulated = Settings(variables={"PUDATO_ENV": "local", "LOCALSTACK_ENDPOINT": "http://localhost:4566/", "PUDATO_QUERY_TOPIC_ARN": "arn:aws:sns:eu-west-1:1:q"})
    assert emulated.fabric == "aws"
    assert emulated.results_topic_arn == "arn:aws:sns:us-east-1:000000000000:pudato-results"
    assert emulated.storage_queue_url == "http://localhost:4566/000000000000/pudato-storage-queue"
    assert emulated.query_topic_arn == "arn:aws:sns:eu-west-1:1:q"
    with pytest.raises(ConfigurationError, match="PUDATO_ENV: expected local or aws, found 'prod'"):
        Settings(variables={"PUDATO_ENV": "prod"})


def test_a_setting_cannot_be_changed_after_it_was_read() -> None:
    settings = Settings(variables={})
    with pytest.raises(AttributeError, match="prefix: settings cannot be changed; make others with Settings"):
        settings.prefix = "other"
    assert settings.prefix == "pudato"
