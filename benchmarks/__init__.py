"""What tinyae reaches, measured: see README.md beside this file."""
