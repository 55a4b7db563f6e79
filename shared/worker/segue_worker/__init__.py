"""How does a service take tasks from a pool and settle them?"""
