"""The package: is its public face what it says?"""

import segue_language


def test_the_public_names_are_sorted_and_there() -> None:
    """Constants, classes, functions, each in order, and each is importable."""
    names = segue_language.__all__
    ranks = [(not name.isupper(), not name[0].isupper(), name) for name in names]
    assert ranks == sorted(ranks)
    assert all(hasattr(segue_language, name) for name in names)
