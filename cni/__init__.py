"""Puts an address on a Pod: plugin protocol, attachments, kernel routes, CNI configuration."""
