"""The shell: how do requests and tasks arrive, and how do answers leave?"""
