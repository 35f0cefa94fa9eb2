"""The controller: decides pools and addresses, frees on evidence, and reports; one replica writes at a time."""
