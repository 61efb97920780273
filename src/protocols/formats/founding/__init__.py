"""The services that the project was founded on. They no longer answer."""
