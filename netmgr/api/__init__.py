"""Kubernetes objects as netmgr reads and writes them: partial wire structs and the CustomResourceDefinitions."""
