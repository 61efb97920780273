"""The faults of the embedded server under their first name. They are `tokenwire.server.faults`."""

from ..server.faults import *  # noqa: F403  the very same names
from ..server.faults import __all__ as __all__
