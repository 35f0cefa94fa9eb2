"""Taking over a cluster's addresses from Spiderpool: what its objects say, what netmgr makes of it, and what does not fit."""
