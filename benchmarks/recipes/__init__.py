"""The recipes of ``benchmarks/quality.py``: one file for each topic, one function for each NAME."""
