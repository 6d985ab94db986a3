"""`python -m chatserver_sdk.cli`: the same as `chatserver`."""

from . import main

main()
