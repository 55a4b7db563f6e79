"""Version 1 of the contracts: which bodies, subjects and streams are promised to clients?"""
