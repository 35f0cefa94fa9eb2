"""The Kubernetes API as netmgr uses it: transport, reflector, keyed queue, leader lease."""
