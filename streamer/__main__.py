"""``python -m streamer``."""

from streamer.cli.app import main

main()
