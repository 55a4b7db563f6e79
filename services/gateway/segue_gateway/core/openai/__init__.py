"""OpenAI's interfaces: how are their bodies and ours translated into each other?"""
