"""What a clone needs before the project itself can run: its tools, and the linters' own glue."""
