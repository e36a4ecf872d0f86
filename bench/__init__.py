"""What the meta-plugin costs: `python -m bench`, read with bench/README.md.

Owns measuring, and telling a measurement against the design's budgets. Refuses to be a test: no
number makes it fail, only not having been able to measure does.
"""
