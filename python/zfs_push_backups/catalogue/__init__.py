"""The catalogue: what this machine knows of its runs and holds, in one SQLite file under `base_dir`.

Invariant: a hint for speed and order, never the truth: the store decides what exists, the manifest what is committed.
"""
