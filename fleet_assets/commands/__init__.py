"""The `fleet` command, one module per group of subcommands; `cli.py` puts them together."""
