"""One file a command; each exposes `command`, loaded only when it is called."""
