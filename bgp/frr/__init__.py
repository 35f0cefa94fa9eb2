"""FRR as the engine: rendering, the delta between two configurations, and vtysh."""
