"""Asynchronous batch jobs: a file of any size becomes scores, each row once, in order."""
