"""The agents service: who carries out a step that asks for an agent?"""
