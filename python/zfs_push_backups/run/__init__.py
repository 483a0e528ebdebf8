"""Use cases: push, restore, list, check. They join plan, zfs, engine and report; commands and scripts call them."""
