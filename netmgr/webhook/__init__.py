"""The admission webhook, served by every controller replica: defaults are filled in and mistakes refused before they are stored."""
