"""Streams runs live: how does a viewer see every event once, as it happens?"""
