"""What netmgr puts into a cluster, and how it takes it out again."""
