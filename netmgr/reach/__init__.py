"""Can an outsider reach the addresses, and does the Pod see who asked?"""
