"""What tests of programs that use this package need: real servers, and answers that are known.

WireServer sends the bytes it is told, running_server is a chat server, ScriptedAgent answers in
one. The fixtures of `pytest_plugin` start them; pytest loads those by itself.

Names are loaded when they are first used, so that a test pays for what it takes and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatserver_sdk._lazy import lazy_names

if TYPE_CHECKING:
    from .answers import (
        DONE as DONE,
        Cut as Cut,
        Pause as Pause,
        Script as Script,
        Step as Step,
        UntilHangup as UntilHangup,
        chunked as chunked,
        close_delimited as close_delimited,
        completion as completion,
        delta as delta,
        event as event,
        event_stream as event_stream,
        finished as finished,
        json_answer as json_answer,
        plain_answer as plain_answer,
        sized as sized,
    )
    from .embedded_server import (
        RunningServer as RunningServer,
        running_server as running_server,
    )
    from .scripted_agent import (
        AgentStep as AgentStep,
        Failure as Failure,
        ScriptedAgent as ScriptedAgent,
        Thought as Thought,
        ToolUse as ToolUse,
    )
    from .wire_server import RecordedRequest as RecordedRequest, WireServer as WireServer

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "answers": "Cut DONE Pause Script Step UntilHangup chunked close_delimited completion delta"
        " event event_stream finished json_answer plain_answer sized",
        "embedded_server": "RunningServer running_server",
        "scripted_agent": "AgentStep Failure ScriptedAgent Thought ToolUse",
        "wire_server": "RecordedRequest WireServer",
    },
)
