"""A folder for each wire format; `registry` finds them by name."""
