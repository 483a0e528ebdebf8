# Each target is one script; `make setup` first brings whatever is missing. Nothing asks questions.
.PHONY: help setup demo test lint bench soak fuzz vm-test vm-shell clean
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: ## install what is missing and build .venv/bin/zfs-push-backups
	@scripts/setup

demo: setup ## back up a small pool, restore it twice, compare every file
	@scripts/demo

test: ## every test, with the real servers
	@scripts/test

lint: ## formatting, types, layers, licences
	@scripts/lint

bench: ## compare with peer pipelines on the same bytes and server
	@scripts/bench

soak: ## the long matrices; hours, not minutes
	@scripts/soak

fuzz: ## random and damaged streams and tokens, a minute for each of the three targets
	@scripts/fuzz

vm-test: ## tests/vm on real OpenZFS, in an emulated machine (VM_TESTS=all: every one)
	@scripts/vm-test

vm-shell: ## a shell in that machine
	@scripts/vm-shell

clean: ## remove what was built here (the cache outside the checkout stays)
	@scripts/clean
