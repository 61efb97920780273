"""What tokenwire costs beside its peers: `make bench`, and README.md for what came out."""
