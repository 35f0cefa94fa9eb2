"""Hypothesis judges results, not speed: on a loaded machine a case of 10 ms may take a second."""

from hypothesis import settings

settings.register_profile("netmgr", deadline=None)
settings.load_profile("netmgr")
