"""What tokenwire costs beside its peers. `make bench` runs it; README.md has the results."""
