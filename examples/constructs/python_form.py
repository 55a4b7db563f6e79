"""The Python form: how does a program write a workflow, run it and use the result?

$ python examples/constructs/python_form.py
"""

import asyncio
from typing import Any

from segue import Client

PAGES = {"news": "it runs", "about": "who we are", "long": "far too many words for such a page"}


def step(key: str, action: str, **fields: Any) -> dict[str, Any]:
    """Return a step for the workers of the pool `pages`."""
    return {"key": key, "pool": "pages", "action": action, **fields}


def workflow(pages: dict[str, str], *, most: int) -> dict[str, Any]:
    """Return a definition that publishes each page that is not too long, all at once."""
    steps = []
    for name, text in pages.items():
        steps += [
            step(f"count-{name}", "count", **{"with": {"text": text}}),
            step(
                f"publish-{name}",
                "publish",
                dependsOn=[f"count-{name}"],
                when=f"steps['count-{name}'].output.words <= {most}",
                **{"with": {"name": name, "text": text}},
            ),
        ]
    outputs = {
        name: f"{{{{ steps['publish-{name}'].output.file | default(none) }}}}" for name in pages
    }
    return {"name": "python-form", "steps": steps, "outputs": outputs}


async def main() -> object:
    """Run it, and return which files there are now; None for a page that was too long."""
    async with Client.connect() as client:
        run = await client.start_run(workflow(PAGES, most=3))
        return (await run.result(timeout=60)).unwrap()


if __name__ == "__main__":
    print(asyncio.run(main()))
