"""Lambda entry points: thin, each over the same core."""
