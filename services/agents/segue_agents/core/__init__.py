"""The rules of agents: what is asked, what comes next, and what is handed on?"""
