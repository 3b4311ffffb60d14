"""The packaged scenarios, one TOML file each."""
