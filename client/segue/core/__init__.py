"""The pure part of the client: what do events, inputs and results mean, without any I/O?"""
