"""What the people who hold keys do: prepare, sign and publish. The daemon never loads it."""
