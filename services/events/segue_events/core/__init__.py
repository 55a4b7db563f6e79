"""The pure core: which bytes does a viewer get, and from where on?"""
