"""The shell: how do facts and requests reach the core, and its bytes the viewers?"""
