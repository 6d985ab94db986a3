"""Which agents answer, and under which names."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from chatserver_sdk.agents import Agent
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models import ModelInfo

from .errors import UnknownModel

OWNER = "chatserver_sdk"


class Catalogue:
    """The models that a server offers: its agents, and aliases of them."""

    def __init__(self, agents: Iterable[Agent], aliases: Mapping[str, str] | None = None) -> None:
        self._agents = {agent.name: agent for agent in agents}
        self._created = int(time.time())
        for alias, name in (aliases or {}).items():
            if name not in self._agents:
                raise ConfigurationError(
                    f"the alias {alias!r} stands for {name!r}, and there is no such agent;"
                    f" there are {', '.join(sorted(self._agents))}"
                )
            if alias in self._agents and self._agents[alias] is not self._agents[name]:
                raise ConfigurationError(
                    f"the alias {alias!r} for {name!r} is the name of another agent"
                )
            self._agents[alias] = self._agents[name]

    @property
    def names(self) -> list[str]:
        """The names of the agents, aliases aside, in alphabetical order."""
        return sorted({agent.name for agent in self._agents.values()})

    def find(self, model: str) -> Agent:
        """The agent behind a model's id. Raises UnknownModel."""
        try:
            return self._agents[model]
        except KeyError:
            raise UnknownModel(
                f"there is no model {model!r}; list the models to see which there are",
                code="model_not_found",
                param="model",
            ) from None

    def list_models(self) -> list[ModelInfo]:
        """Every model, aliases included, in the order in which they were registered."""
        return [
            ModelInfo(
                id=model,
                owned_by=OWNER,
                created=self._created,
                description=agent.description,
                provider=agent.name,
                capabilities=["streaming"],
            )
            for model, agent in self._agents.items()
        ]
