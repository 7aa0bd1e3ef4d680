"""One thin file a command: parse, call core, print."""
