"""Testing your own program: a real server in the test, with an agent that answers by a script.

No server has to be started: run `pytest examples/testing_your_app.py`, or
`python examples/testing_your_app.py`, which does that. `start_chat_server` and `chat_client` are
fixtures of the package's pytest plugin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from chatserver_sdk import ChatServerClient, Message, MessageRole, RateLimitError
from chatserver_sdk.testing import Failure, RunningServer, ScriptedAgent, ToolUse


# The program: it asks a model, and looks the weather up where the model wants it.
def tell_weather(client: ChatServerClient, model: str, question: str) -> str:
    messages = [Message(MessageRole.USER, question)]
    try:
        said = client.create_completion(model, messages).choices[0].message
        while said.tool_calls:
            messages.append(said)
            for call in said.tool_calls:
                found = f"rain in {json.loads(call.function.arguments)['city']}"
                messages.append(Message(MessageRole.TOOL, found, tool_call_id=call.id))
            said = client.create_completion(model, messages).choices[0].message
    except RateLimitError:
        return "Please ask again tomorrow."
    return said.text


# Its tests. The last answer of a script answers all that follow.
def test_the_tool_is_used(start_chat_server: Callable[..., RunningServer]) -> None:
    agent = ScriptedAgent("weather", ToolUse("look_up", {"city": "Ulm"}), "Take an umbrella.")
    with start_chat_server(agent).client() as client:
        assert tell_weather(client, "weather", "How is it in Ulm?") == "Take an umbrella."
    assert [question.messages[-1].text for question in agent.questions] == [
        "How is it in Ulm?",
        "rain in Ulm",
    ]


def test_the_quota_is_used_up(start_chat_server: Callable[..., RunningServer]) -> None:
    agent = ScriptedAgent("weather", Failure("the quota is used up", status=429))
    with start_chat_server(agent).client() as client:
        assert tell_weather(client, "weather", "And now?") == "Please ask again tomorrow."


def test_any_agent_will_do(chat_client: ChatServerClient) -> None:
    assert tell_weather(chat_client, "echo", "Sunny?") == "Sunny?"


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-v", __file__]))
