"""The shell of agents: how do tasks, tools and models reach the rules?"""
