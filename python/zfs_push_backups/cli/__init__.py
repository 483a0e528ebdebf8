"""The command: one file a subcommand; arguments in, text or JSON out, no decisions."""
