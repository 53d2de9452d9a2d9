"""Jobs on one machine: processes that score, SQLite that remembers, a folder that holds the rest."""
