"""The node agent: this node's allocations in memory, CNI calls answered from them, releases reported."""
