"""The pure core: what does a body ask for, and how is a refusal told in HTTP?"""
