"""Every run is the same run: hypothesis draws from a fixed seed and keeps no database, and the
developer's own keys are not there."""

import os
import pkgutil
from importlib import import_module

from hypothesis import HealthCheck, settings

import tokenwire

# Hypothesis draws constants from the modules that are loaded: so all are, before the first test.
for module in pkgutil.walk_packages(tokenwire.__path__, "tokenwire."):
    if module.name != "tokenwire.__main__":  # it runs the command
        import_module(module.name)

# Before any test module is imported: some of them copy the environment.
for provider in tokenwire.PROVIDERS.values():
    for variable in (*provider.env, *provider.base_env, *provider.params.values()):
        os.environ.pop(variable, None)
os.environ.pop("TOKENWIRE_KEY", None)

settings.register_profile(
    "tokenwire",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(  # `make search`: many more examples, and others each time
    "search",
    deadline=None,
    database=None,
    max_examples=5000,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("tokenwire")
