"""What formats are built of. It imports `errors`, `events` and `limits` only."""
