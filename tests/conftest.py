"""Every run is the same run: hypothesis draws from a fixed seed and keeps no database."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tokenwire",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tokenwire")
