"""A deployed stack, in AWS: what no engine on a laptop can show. Opt-in, by its name."""
