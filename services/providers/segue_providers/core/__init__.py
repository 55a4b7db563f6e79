"""The rules: how are requests routed, answered offline and turned into outcomes?"""
