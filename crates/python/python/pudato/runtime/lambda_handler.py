"""The entry point of AWS Lambda: `pudato.runtime.handle`.

`HANDLER_TYPE` names the handler: one of pudato's own services, a handler of this process, an entry point of the group `pudato.handlers`, or
`module:attribute`. The default is `storage`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pudato.handlers._find import register_handler_factory
from pudato.runtime import _functions

__all__ = ["handle", "register_handler_factory"]


def handle(event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
    """Handles the messages of an SQS event, and publishes their Results.

    The handler and its connections are opened at the first event of a process, and kept.

    Args:
        event: `{"Records": [{"messageId": .., "receiptHandle": .., "body": ..}]}`. A record may have only its `body`.
        context: Lambda's context, which says how much time is left.

    Returns:
        `processed`: how many messages are done. `results`: the correlation id and the status of each Result. `batchItemFailures`: the
        messages to deliver again; the event source mapping must report them (ReportBatchItemFailures).

    Raises:
        PudatoError: The function cannot be opened, or the event is not from SQS. The whole event must be delivered again.
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
