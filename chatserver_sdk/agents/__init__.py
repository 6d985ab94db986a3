"""Agents: what answers. This room knows neither the store nor HTTP."""

from .agent import Agent as Agent, InvalidQuestion as InvalidQuestion, Question as Question
from .files import Files as Files
