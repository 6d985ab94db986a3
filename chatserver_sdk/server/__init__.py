"""The chat server: HTTP over the engine. Routes parse, call and render; nothing is decided here."""

from . import configuration as configuration, logs as logs
from .app import create_app as create_app
from .process import Started as Started, serve as serve
from .settings import Settings as Settings
