"""Benchmarks: each compares two ways to do the same work, in turns, within one run.

A benchmark is a module of this package whose name begins with the target's name, such as
`l4_bulk_send`, with a function `run(bench: Bench) -> list[Comparison]`; its docstring says what is
compared. `python -m loadtest.bench` finds it.
"""
