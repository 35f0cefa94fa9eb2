"""One address at a time, for people: who has it and why, and giving it up."""
