"""The tables that jobs read and write: one module a format."""
