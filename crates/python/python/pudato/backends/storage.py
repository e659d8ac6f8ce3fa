"""Backends that store objects."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pudato.protocol import DataReference
from pudato.protocol.errors import HandlerError

__all__ = ["S3Backend"]

KEYS_MAX = 1_000

Ran = tuple[dict[str, Any], list[DataReference], list[DataReference]]
"""The data of an answer, the datasets that were read, and the datasets that were written."""


class S3Backend:
    """Stores objects through a boto3 client. Each container is the bucket of the same name.

    All calls use the client's endpoint, region and credentials. `StorageHandler()` without a backend calls S3 without boto3.

    Args:
        client: `boto3.client("s3")`.
    """

    def __init__(self, client: Any) -> None:
        if not callable(getattr(client, "put_object", None)):
            raise TypeError(f"client: expected boto3.client('s3'), found {client!r}")
        self.client = client

    def run(self, action: str, payload: Mapping[str, Any]) -> Ran:
        """Runs an action of the service `storage`. Returns its data, the datasets that it read and those that it wrote.

        Raises:
            HandlerError: The payload is invalid, or S3 refused the call.
        """
        container = _text(payload, "container")
        if action == "list_objects":
            return self._list(container, payload), [], []
        path = _text(payload, "path")
        place = {"Bucket": container, "Key": path}
        location = f"s3://{container}/{path}"
        try:
            match action:
                case "put_object":
                    return self._put(place, location, payload)
                case "get_object":
                    return self._get(place, location)
                case "head_object":
                    return _described(self.client.head_object(**place)), [], []
                case _:
                    existed = self._exists(place)
                    self.client.delete_object(**place)
                    return {"deleted": existed}, [], []
        except self.client.exceptions.ClientError as error:
            raise _refused(location, error) from error

    def _put(self, place: dict[str, str], location: str, payload: Mapping[str, Any]) -> Ran:
        body = _body(payload)
        more: dict[str, Any] = {}
        if payload.get("content_type"):
            more["ContentType"] = payload["content_type"]
        if payload.get("metadata"):
            more["Metadata"] = {name: str(value) for name, value in payload["metadata"].items()}
        if payload.get("if_none_match"):
            more["IfNoneMatch"] = payload["if_none_match"]
        put = self.client.put_object(**place, Body=body, **more)
        data = {"etag": put["ETag"], "size": len(body), "location": location}
        return data, [], [_reference(location, len(body), put["ETag"])]

    def _get(self, place: dict[str, str], location: str) -> Ran:
        found = self.client.get_object(**place)
        body: bytes = found["Body"].read()
        data = _described(found)
        try:
            data["data"] = body.decode()
        except UnicodeDecodeError:
            data["data_base64"] = base64.b64encode(body).decode()
        return data, [_reference(location, len(body), found["ETag"])], []

    def _list(self, container: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {"MaxKeys": payload.get("max_keys", KEYS_MAX)}
        if payload.get("prefix"):
            more["Prefix"] = payload["prefix"]
        if payload.get("continuation_token"):
            more["ContinuationToken"] = payload["continuation_token"]
        try:
            page = self.client.list_objects_v2(Bucket=container, **more)
        except self.client.exceptions.ClientError as error:
            raise _refused(f"s3://{container}", error) from error
        objects = [
            {"path": one["Key"], "size": one["Size"], "etag": one["ETag"], "last_modified": one["LastModified"].isoformat()}
            for one in page.get("Contents", [])
        ]
        token = page.get("NextContinuationToken")
        return {"objects": objects, "truncated": token is not None, "continuation_token": token, "skipped": 0, "note": None}

    def _exists(self, place: dict[str, str]) -> bool:
        try:
            self.client.head_object(**place)
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        found = "it is missing" if value is None else f"found {value!r}"
        raise HandlerError(f"payload.{name}: required, expected a string; {found}")
    return value


def _body(payload: Mapping[str, Any]) -> bytes:
    given = [name for name in ("data", "body", "data_base64", "body_base64") if payload.get(name) is not None]
    if len(given) != 1:
        found = "it is missing" if not given else f"found {', '.join(given)}"
        raise HandlerError(f"payload.data: required, expected a string (or data_base64); {found}")
    text = _text(payload, given[0]) if payload[given[0]] != "" else ""
    if not given[0].endswith("_base64"):
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HandlerError(f"payload.{given[0]}: expected base64 with padding and without line breaks: {error}") from error


def _described(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "size": found["ContentLength"],
        "etag": found["ETag"],
        "content_type": found.get("ContentType"),
        "metadata": found.get("Metadata", {}),
    }


def _reference(location: str, size: int, etag: str) -> DataReference:
    return DataReference(ref_type="file", location=location, metadata={"size": size, "etag": etag})


def _refused(location: str, error: Any) -> HandlerError:
    told = error.response.get("Error", {})
    return HandlerError(f"{location}: {told.get('Code', 'refused')}: {told.get('Message', error)}")
