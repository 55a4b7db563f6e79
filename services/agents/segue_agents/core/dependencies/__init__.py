"""Dependencies: what does a repository depend on, and is it pinned?"""
