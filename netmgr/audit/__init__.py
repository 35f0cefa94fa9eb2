"""Do API, agents, kernels and router agree about every address?"""
