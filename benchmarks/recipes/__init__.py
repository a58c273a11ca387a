"""One file a family of questions, one function a NAME of ``benchmarks/quality.py``."""
