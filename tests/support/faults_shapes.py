"""Shapes: of which kinds are the runs under faults, and how must each of them end?"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

LARGE: Final = 100 * 1024
"""Letters in an output that travels by claim check."""


class Expected(msgspec.Struct, frozen=True):
    """How a run must end."""

    output: Any = None
    """Its output; None when it fails."""
    failure: str = ""
    """The code of its failure; empty when it completes."""
    attempts: int = 1
    """How many attempts count, each of which uses one token."""


class Shape(msgspec.Struct, frozen=True):
    """A definition, and what becomes of a run of it with the input `n`."""

    text: str
    expected: Callable[[int], Expected]
    signalled: bool = False
    """Whether the run waits for the signal `go`."""


SUB: Final = """
name: doubled
version: 1.0.0
inputs: {n: 0}
steps:
  - {key: once, pool: work, with: {value: "{{ inputs.n }}", ms: 100}}
  - key: twice
    pool: work
    dependsOn: [once]
    with: {value: "{{ steps.once.output.value * 2 }}"}
outputs: {value: "{{ steps.twice.output.value }}"}
"""
"""The registered workflow that others start."""

_CHAIN: Final = """
name: chain
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {value: "{{ inputs.n + 1 }}"}}
  - {key: b, pool: work, dependsOn: [a], with: {value: "{{ steps.a.output.value + 1 }}", ms: 300}}
  - {key: c, pool: work, dependsOn: [b], with: {value: "{{ steps.b.output.value + 1 }}", ms: 300}}
  - {key: d, pool: work, dependsOn: [c], with: {value: "{{ steps.c.output.value + 1 }}"}}
outputs: {value: "{{ steps.d.output.value }}"}
"""

_FAN: Final = """
name: fan
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {value: "{{ inputs.n }}", ms: 200}}
  - {key: b, pool: work, with: {value: "{{ inputs.n + 1 }}", ms: 400}}
  - {key: c, pool: work, with: {value: "{{ inputs.n + 2 }}"}}
  - {key: d, pool: work, with: {value: "{{ inputs.n + 3 }}", ms: 100}}
  - key: sum
    pool: work
    dependsOn: [a, b, c, d]
    with:
      value: >-
        {{ steps.a.output.value + steps.b.output.value + steps.c.output.value
        + steps.d.output.value }}
outputs: {value: "{{ steps.sum.output.value }}"}
"""

_MAP: Final = """
name: map
inputs: {n: 0}
steps:
  - {key: list, pool: work, with: {value: ["{{ inputs.n }}", 1, 2, 3, 4, 5, 6]}}
  - key: each
    pool: work
    dependsOn: [list]
    forEach: {items: "{{ steps.list.output.value }}", maxConcurrency: 3}
    with: {value: "{{ item * 10 }}", ms: 150}
outputs: {value: "{{ steps.each.output }}"}
"""

_RETRIED: Final = """
name: retried
inputs: {n: 0}
steps:
  - key: soon
    pool: work
    retry: {maxAttempts: 3, delay: 200ms}
    with: {value: "{{ inputs.n }}", fail: 2}
  - key: later
    pool: work
    dependsOn: [soon]
    retry: {maxAttempts: 2, delay: 2s}
    with: {value: "{{ steps.soon.output.value + 1 }}", fail: 1}
outputs: {value: "{{ steps.later.output.value }}"}
"""

_NESTED: Final = """
name: nested
inputs: {n: 0}
steps:
  - {key: first, pool: work, with: {value: "{{ inputs.n + 1 }}"}}
  - key: inner
    workflow: doubled@1.0.0
    dependsOn: [first]
    with: {n: "{{ steps.first.output.value }}"}
outputs: {value: "{{ steps.inner.output.value }}"}
"""

_SIGNALLED: Final = """
name: signalled
inputs: {n: 0}
steps:
  - {key: before, pool: work, with: {value: "{{ inputs.n }}"}}
  - {key: held, wait: {signal: go}, dependsOn: [before]}
  - key: after
    pool: work
    dependsOn: [held, before]
    with: {value: "{{ steps.held.output.more + steps.before.output.value }}"}
outputs: {value: "{{ steps.after.output.value }}"}
"""

_LARGE: Final = f"""
name: large
inputs: {{n: 0}}
steps:
  - {{key: much, pool: work, with: {{value: "{{{{ inputs.n }}}}", pad: {LARGE}}}}}
  - key: size
    pool: work
    dependsOn: [much]
    with: {{value: "{{{{ steps.much.output.pad | length + inputs.n }}}}"}}
outputs: {{value: "{{{{ steps.size.output.value }}}}", pad: "{{{{ steps.much.output.pad }}}}"}}
"""

_SLOW: Final = """
name: slow
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {value: "{{ inputs.n }}", ms: 3500}}
outputs: {value: "{{ steps.a.output.value }}"}
"""

_TIMED: Final = """
name: timed
inputs: {n: 0}
steps:
  - {key: pause, wait: 1500ms}
  - {key: a, pool: work, dependsOn: [pause], with: {value: "{{ inputs.n }}"}}
outputs: {value: "{{ steps.a.output.value }}"}
"""

_LIMITED: Final = """
name: limited
inputs: {n: 0}
concurrency: {key: all, limit: 3}
steps:
  - {key: a, pool: work, with: {value: "{{ inputs.n }}", ms: 200}}
outputs: {value: "{{ steps.a.output.value }}"}
"""

_UNDONE: Final = """
name: undone
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {value: 1}, compensate: {pool: work, with: {value: 2, ms: 200}}}
  - {key: b, pool: work, dependsOn: [a], with: {fail: 9}}
"""

PADDED: Final = 60_000
"""Letters in an output that just travels in its event."""
_PADS: Final = range(16)
_BULKY: Final = "\n".join(
    [
        "name: bulky",
        "inputs: {n: 0}",
        "steps:",
        *(f"  - {{key: s{i}, pool: work, with: {{pad: {PADDED}}}}}" for i in _PADS),
        'outputs: {value: "{{ inputs.n }}"}',
    ]
)

BULKY: Final = Shape(_BULKY, lambda n: Expected({"value": n}, attempts=len(_PADS)))
"""Its events hold almost a megabyte."""

_LOUD: Final = """
name: loud
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {pad: 2000000, bare: true}}
"""

LOUD: Final = Shape(_LOUD, lambda _: Expected(failure="step_failed"))
"""Its worker publishes what no message may hold."""

_ENDLESS: Final = """
name: endless
inputs: {n: 0}
steps:
  - {key: a, pool: work, with: {value: "{{ 'x' * 300000000 }}"}}
"""

ENDLESS: Final = Shape(_ENDLESS, lambda _: Expected(failure="step_failed", attempts=0))
"""Its template renders more than there may be."""

_TIGHT: Final = f"""
name: tight
inputs: {{n: 0}}
steps:
  - {{key: a, pool: work, with: {{value: "{{{{ inputs.n }}}}", ms: 1}}}}
  - key: b
    pool: work
    dependsOn: [a]
    with: {{value: "{{{{ steps.a.output.value }}}}", more: "{{{{ 'x' * {PADDED} }}}}"}}
outputs: {{value: "{{{{ steps.b.output.value }}}}"}}
"""

TIGHT: Final = Shape(_TIGHT, lambda n: Expected({"value": n}, attempts=2))
"""One of its tasks fits a usual broker, and none with a small `max_payload`."""

SHAPES: Final = {
    "chain": Shape(_CHAIN, lambda n: Expected({"value": n + 4}, attempts=4)),
    "fan": Shape(_FAN, lambda n: Expected({"value": 4 * n + 6}, attempts=5)),
    "map": Shape(
        _MAP,
        lambda n: Expected(
            {"value": [{"value": 10 * one} for one in (n, 1, 2, 3, 4, 5, 6)]}, attempts=8
        ),
    ),
    "retried": Shape(_RETRIED, lambda n: Expected({"value": n + 1}, attempts=5)),
    "nested": Shape(_NESTED, lambda n: Expected({"value": 2 * (n + 1)}, attempts=3)),
    "signalled": Shape(
        _SIGNALLED, lambda n: Expected({"value": n + 7}, attempts=2), signalled=True
    ),
    "large": Shape(
        _LARGE, lambda n: Expected({"value": LARGE + n, "pad": "x" * LARGE}, attempts=2)
    ),
    "slow": Shape(_SLOW, lambda n: Expected({"value": n})),
    "timed": Shape(_TIMED, lambda n: Expected({"value": n})),
    "limited": Shape(_LIMITED, lambda n: Expected({"value": n})),
    "undone": Shape(_UNDONE, lambda _: Expected(failure="step_failed", attempts=3)),
}
"""By name."""

SIGNAL: Final = {"more": 7}
"""What the signal `go` carries."""
