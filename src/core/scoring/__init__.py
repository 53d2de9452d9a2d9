"""Scorers: what turns a feature matrix into raw scores."""
