"""The shell: how do requests become commands, and streams pass through?"""
