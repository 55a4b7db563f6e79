"""Runs workflows: how does a run get from its definition to its end?"""
