"""The gateway: every format in front, any service behind, and never a truncated answer for a whole
one. It needs `pip install tokenwire[gateway]`.

    application = tokenwire.gateway.app(config)    # for any ASGI server

`tokenwire gateway` runs it (`run`).
"""

from .app import app

__all__ = ["app"]
