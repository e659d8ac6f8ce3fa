"""The entry point for AWS Lambda: `pudato.runtime.handle`.

`HANDLER_TYPE` names the handler: a built-in service, a handler registered in this process, an entry point in the group `pudato.handlers`,
or `module:attribute`. The default is `storage`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pudato.handlers._find import register_handler_factory
from pudato.runtime import _functions

__all__ = ["handle", "register_handler_factory"]


def handle(event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
    """Handles the messages of an SQS event and publishes their Results.

    The first event opens the handler and its connections; later events in the same process reuse them.

    Args:
        event: `{"Records": [{"messageId": .., "receiptHandle": .., "body": ..}]}`. A record may have only a `body`.
        context: The Lambda context, which says how much time is left.

    Returns:
        `processed`: how many messages are done. `results`: the correlation id and the status of each Result. `batchItemFailures`: the
        messages to deliver again; the event source mapping must set ReportBatchItemFailures.

    Raises:
        PudatoError: The function cannot be opened, or the event is not from SQS. Lambda delivers the whole event again.
    """
    service = os.environ.get("HANDLER_TYPE") or "storage"
    if service == "results":
        from pudato.runtime.results_consumer import handle as consume

        return consume(event, context)
    opened = _functions.function(_functions.settings_here(), service)
    done, left = _functions.handle(opened, event, context)
    return {
        "processed": len(event.get("Records", ())) - len(left),
        "results": [{"correlation_id": one[0], "status": one[2]} for one in done],
        "batchItemFailures": _functions.failures(left),
    }
