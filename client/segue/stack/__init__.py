"""The local stack: how does one command run the broker and every service on this machine?"""
