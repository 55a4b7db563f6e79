"""Segue's providers: who answers when a model is asked?"""
