"""Offline tools: from a table of labelled transactions to a model bundle. Never shipped to a target."""
