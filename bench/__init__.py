"""Benchmarks: how fast is Segue, beside the floor that the broker and Python set?"""
