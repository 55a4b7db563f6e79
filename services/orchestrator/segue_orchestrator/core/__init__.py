"""The pure core: given what happened, what must exist next?"""
