"""Who is told about which address: policy, rendering and comparison for BGP speakers."""
