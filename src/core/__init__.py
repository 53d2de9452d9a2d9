"""Fraud scoring, shared by every target: a Lambda layer there, a package in the container."""
