"""Decides what to send, what to stand on, what to restore and whether it is fresh enough.

Invariants: pure. No files, processes, sockets, clocks or randomness: facts and `now` come in, decisions go out as
frozen values. Only `errors` and `names` are imported besides the standard library.
"""
