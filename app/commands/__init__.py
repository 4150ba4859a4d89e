"""The subcommands of `espalier`, one a module; `app.cli` imports each when it is called."""
