"""The HTTP face of the service: one FastAPI app for every target."""
