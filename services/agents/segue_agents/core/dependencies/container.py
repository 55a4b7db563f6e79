"""Container manifests: on which images does a Dockerfile build?"""

import re

from segue_agents.core.dependencies.declared import Binding, Declared, Manifest

_FROM = re.compile(
    r"\s*FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?", re.IGNORECASE
)


def read_dockerfile(text: str) -> Manifest:
    """Read the images of a Dockerfile; its own stages and arguments are none."""
    stages = {"scratch"}
    declared = []
    for number, line in enumerate(text.splitlines(), start=1):
        found = _FROM.match(line)
        if not found:
            continue
        image = found["image"]
        if image.lower() not in stages and "$" not in image:
            declared.append(_image(image, number))
        if found["stage"]:
            stages.add(found["stage"].lower())
    return Manifest(ecosystem="container", declared=tuple(declared))


def _image(image: str, line: int) -> Declared:
    name, _, digest = image.partition("@")
    path, _, last = name.rpartition("/")
    short, _, tag = last.partition(":")
    binding: Binding = "tag"
    if digest:
        binding = "exact"
    elif tag in {"", "latest"}:
        binding = "moving"
    return Declared(
        name=f"{path}/{short}" if path else short, binding=binding, line=line, text=image
    )
