"""Handlers of one's own: a service whose actions are Python functions.

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
"""What running an action twice does: nothing (`read`), it leaves the same state (`keyed`), or it repeats the effect (`once`)."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Answer:
    """What an action answers.

    Attributes:
        data: The data of the Result.
        inputs: The datasets that the action read.
        outputs: The datasets that it wrote.
        executions: What it ran: SQL, Python functions, dbt.
        events: Events to publish: `Event`, or a pair of type and payload.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[DataReference] = ()
    outputs: Sequence[DataReference] = ()
    executions: Sequence[ExecutionRecord] = ()
    events: Iterable[Event | tuple[str, Mapping[str, Any]]] = ()


AFTER_MAX = 43_200
"""The longest time in seconds that a queue can hide a message."""


class Retry(Exception):
    """The attempt failed, and a later one may succeed. Raise it or return it.

    Args:
        after: The shortest time until the next attempt, in seconds or as a timedelta, at most 12 hours; by default it grows with each
            attempt.
        why: The reason, for the log and, after the last attempt, for the dead-letter queue.
    """

    def __init__(self, after: float | timedelta | None = None, why: str = "the handler asked for another attempt") -> None:
        super().__init__(why)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not 0 <= seconds <= AFTER_MAX:
            raise ValueError(f"after: expected 0 to {AFTER_MAX} seconds, found {after!r}")
        self.after = seconds
        self.why = why


class Unavailable(Exception):
    """A backend is down, which is not the command's fault: the worker waits for it, and no attempt is spent. Raise it or return it.

    Args:
        why: The backend, and how its failure shows.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Context:
    """What a running action may ask and tell. An action that takes a second argument gets it."""

    __slots__ = ("_command", "_taken")

    def __init__(self, command: Command, taken: _core.Taken | None = None) -> None:
        self._command = command
        self._taken = taken

    def report(self, data: Mapping[str, Any]) -> None:
        """Publishes `data` as a pending Result. It never waits; reports that come faster than one a second are dropped."""
        if self._taken is not None:
            from pudato.protocol import Result

            pending = Result.pending(correlation_id=self._command.correlation_id, data=dict(data))
            self._taken.report(pending.model_dump_json())

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the lease is lost, the time is over, or the program stops.

        A function cannot be interrupted from outside. It may look here and return; its answer is discarded.
        """
        return self._taken is not None and self._taken.cancelled

    @property
    def deadline(self) -> datetime:
        """Until when the lease is renewed, in UTC. After that the command is given to somebody else."""
        if self._taken is None:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.fromtimestamp(self._taken.deadline, UTC)

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1 on."""
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
        """Calls the function. Returns its outcome, or a coroutine for it."""
        return self.function(command, context) if self.takes_context else self.function(command)


class OwnHandler:
    """A service whose actions are functions. Make it with `handler(NAME)`.

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
        """Makes a function an action of this service.

        The function takes the Command and, if it has a second parameter, a `Context`. It may be a coroutine. It returns a dict, an
        `Answer`, a `Result` or None.

        Args:
            name: The `action` of its Commands.
            effect: What running it twice does. For `once`, the default, its answer is stored, and given again to a Command that is
                delivered again.
            lease_max: The longest run in seconds. After that the Command is given to somebody else.
            fields: The fields that its payload may have; any other is refused by name. By default the function checks them itself.
            aliases: Other names of the action.
        """
        if not name:
            raise ValueError("action: expected a name, found an empty text")
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
        """Runs a Command here, without a queue, for tests and notebooks.

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
    """The handler of a service of this process; it is made at the first call.

    Args:
        service_type: The `type` of its Commands. Their topic is `pudato-SERVICE_TYPE-commands`, their queue `pudato-SERVICE_TYPE-queue`.
    """
    if not service_type:
        raise ValueError("service_type: expected a name, found an empty text")
    return _registered.setdefault(service_type, OwnHandler(service_type))


def registered() -> dict[str, OwnHandler]:
    """The handlers that `handler` made, by service."""
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
