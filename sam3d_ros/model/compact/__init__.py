"""Our own small two-stage model, from the same blocks as the published one: `config` -> `picture` -> `geometry`."""
