"""The shell: how do events reach the core, and its decisions the bus?"""
