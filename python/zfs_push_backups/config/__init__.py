"""The configuration: from the YAML file to validated, frozen models.

Invariants: nothing runs before the whole file is valid; every error names file, line, key, what was found and what is
allowed; no secret is ever taken from the file nor shown from it.
This file imports nothing on purpose: `--help` must not pay for pydantic. Import from `config.load`, `config.models`,
`config.choice`, `config.quantities`, `config.schema`.
"""
