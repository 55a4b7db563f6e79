"""Adapters: how is each provider spoken to?"""
