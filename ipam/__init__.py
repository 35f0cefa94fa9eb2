"""Who may have which address: pure functions over frozen values, no I/O."""
