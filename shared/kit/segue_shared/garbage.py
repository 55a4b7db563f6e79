"""Garbage: when does a process begin to look for it?"""

import gc


def collect_from_now_on() -> None:
    """End what `loading` began: collect garbage, but pass over what is there already."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
