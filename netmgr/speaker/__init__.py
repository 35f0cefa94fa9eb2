"""The speaker: keeps FRR on one node at what the API says, and reports what it does."""
