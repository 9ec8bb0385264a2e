"""Segment video and audio into scenes while they play.

The public names are listed in ``__init__.pyi`` and imported on first use, so that
``import streamer`` costs next to nothing.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
