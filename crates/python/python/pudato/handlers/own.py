"""Your own handlers: a service whose actions are Python functions.

```python
from pudato import Answer, DataReference, handler

profile = handler("profile")

@profile.action("profile_csv", effect="read")
def profile_csv(command, ctx):
    location = command.payload["location"]
    return Answer({"rows": 3}, inputs=[DataReference(ref_type="file", location=location)])
```

`python -m pudato.runtime.local_runner --handler MODULE:profile` runs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from pudato import _core
    from pudato.protocol import Command, DataReference, Event, ExecutionRecord, Result

__all__ = ["Action", "Answer", "Context", "Effect", "OwnHandler", "Retry", "Unavailable", "handler"]

Effect = Literal["read", "keyed", "once"]
"""What happens if an action runs twice: nothing changes (`read`), the state is the same (`keyed`), or the effect is repeated (`once`)."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Answer:
    """The answer of an action, with its lineage.

    Attributes:
        data: The data of the Result.
        inputs: The datasets that the action read.
        outputs: The datasets that it wrote.
        executions: What it executed: SQL, Python functions, dbt.
        events: The Events to publish, each an `Event` or a pair of type and payload.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[DataReference] = ()
    outputs: Sequence[DataReference] = ()
    executions: Sequence[ExecutionRecord] = ()
    events: Iterable[Event | tuple[str, Mapping[str, Any]]] = ()


AFTER_MAX = 43_200
"""The longest time in seconds that a queue can hide a message."""


class Retry(Exception):
    """The attempt failed, but a later one may succeed. Raise it or return it.

    Args:
        after: The minimum delay before the next attempt, in seconds or as a timedelta, at most 12 hours. By default pudato backs off: the delay
            grows with each attempt.
        why: The reason, for the log and, after the last attempt, for the dead-letter queue.
    """

    def __init__(self, after: float | timedelta | None = None, why: str = "the handler asked for another attempt") -> None:
        super().__init__(why)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not 0 <= seconds <= AFTER_MAX:
            raise ValueError(f"after: expected 0 to {AFTER_MAX} seconds, found {after!r}")
        self.after = seconds
        self.why = why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.after, self.why)


class Unavailable(Exception):
    """A backend is down. The worker waits for it, and no attempt counts. Raise it or return it.

    Args:
        why: Which backend is down, and what error it caused.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Context:
    """The context of a running action, passed as the second argument if the action has one."""

    __slots__ = ("_command", "_taken")

    def __init__(self, command: Command, taken: _core.Taken | None = None) -> None:
        self._command = command
        self._taken = taken

    def report(self, data: Mapping[str, Any]) -> None:
        """Publishes `data` as a pending Result without waiting. If you call it more than once a second, some reports are dropped."""
        if self._taken is not None:
            from pudato.protocol import Result

            pending = Result.pending(correlation_id=self._command.correlation_id, data=dict(data))
            self._taken.report(pending.model_dump_json())

    @property
    def cancelled(self) -> bool:
        """Whether nobody needs the answer any more: the lease is lost, `lease_max` has passed, or the program is stopping.

        pudato cannot interrupt a function, so a long one should check this and return. Its answer is then discarded.
        """
        return self._taken is not None and self._taken.cancelled

    @property
    def deadline(self) -> datetime:
        """When pudato stops renewing the lease, in UTC. After that another worker can receive the command."""
        if self._taken is None:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.fromtimestamp(self._taken.deadline, UTC)

    @property
    def attempt(self) -> int:
        """The number of this attempt, starting at 1."""
        return 1 if self._taken is None else self._taken.attempt or 1


@dataclass(frozen=True)
class Action:
    """An action of a handler; see `OwnHandler.action`."""

    name: str
    function: Callable[..., Any]
    effect: Effect = "once"
    lease_max: float = 900
    fields: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    takes_context: bool = False
    is_coroutine: bool = False

    def call(self, command: Command, context: Context) -> Any:
        """Calls the function. Returns its value, or its coroutine."""
        return self.function(command, context) if self.takes_context else self.function(command)


class OwnHandler:
    """A service whose actions are functions. Create it with `handler(NAME)`.

    Attributes:
        service_type: The `type` of its Commands.
        actions: Its actions by name.
    """

    def __init__(self, service_type: str) -> None:
        self.service_type = service_type
        self.actions: dict[str, Action] = {}

    def action(
        self,
        name: str,
        *,
        effect: Effect = "once",
        lease_max: float = 900,
        fields: Sequence[str] | None = None,
        aliases: Sequence[str] = (),
    ) -> Callable[[_Function], _Function]:
        """Registers a function as an action of this service.

        The function takes the Command and, if it has a second parameter, a `Context`. It may be a coroutine. It returns a dict, an
        `Answer`, a `Result` or None.

        Args:
            name: The `action` of its Commands.
            effect: What happens if it runs twice. With `once`, the default, pudato stores the answer and returns it again if the Command is
                delivered again.
            lease_max: The longest run in seconds. After that another worker can receive the Command.
            fields: The fields that the payload may have; any other field is an error that names it. By default pudato does not check them.
            aliases: Other names for the action.
        """
        if not name:
            raise ValueError("action: expected a name, found an empty string")
        if effect not in ("read", "keyed", "once"):
            raise ValueError(f"{name}: effect: expected 'read', 'keyed' or 'once', found {effect!r}")

        def register(function: _Function) -> _Function:
            self.actions[name] = Action(
                name=name,
                function=function,
                effect=effect,
                lease_max=lease_max,
                fields=None if fields is None else tuple(fields),
                aliases=tuple(aliases),
                takes_context=_takes_context(name, function),
                is_coroutine=inspect.iscoroutinefunction(function),
            )
            return function

        return register

    def supported_actions(self) -> list[str]:
        """The names of its actions."""
        return list(self.actions)

    def handle(self, command: Command) -> Result:
        """Runs a Command without a queue, for tests and notebooks.

        Raises:
            Retry: The action asked for another attempt.
            Unavailable: A backend is down.
        """
        from pudato.handlers._run import handle

        return handle(self, command)

    def __repr__(self) -> str:
        return f"handler({self.service_type!r})"


_registered: dict[str, OwnHandler] = {}


def handler(service_type: str) -> OwnHandler:
    """Returns the handler of a service in this process. The first call creates it.

    Args:
        service_type: The `type` of its Commands. The topic is `pudato-SERVICE_TYPE-commands`, and the queue is
            `pudato-SERVICE_TYPE-queue`.
    """
    if not service_type:
        raise ValueError("service_type: expected a name, found an empty string")
    return _registered.setdefault(service_type, OwnHandler(service_type))


def registered() -> dict[str, OwnHandler]:
    """Returns the handlers that `handler` created, by service."""
    return dict(_registered)


def _takes_context(name: str, function: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [one for one in parameters if one.kind in kinds]
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return True
    needed = [one for one in places if one.default is inspect.Parameter.empty]
    if not places or len(needed) > 2:
        raise TypeError(f"{name}: expected a function of (command) or (command, ctx), found {inspect.signature(function)}")
    return len(needed) == 2 or (len(places) > 1 and places[1].name in ("ctx", "context"))
