"""Subjects: how is everything on the bus addressed?

This is the only module that builds or reads a subject. Tokens are `[a-z0-9_-]`; step keys of any
form are escaped reversibly and map items append `~<index>`.
"""

import hashlib
import re
import zlib
from typing import Final

import msgspec

PREFIX: Final = "segue.v1"
SHARDS: Final = 256
MAX_STEP_KEY: Final = 128
MAX_STEP_TOKEN: Final = 400
MAX_ITEM: Final = 999_999_999
PRIORITIES: Final = ("p0", "p1", "p2", "p3")
UNDO: Final = "undo"
"""Ends the token of the task that undoes a step; no item's index and no step's key."""

_TOKEN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RUN = re.compile(r"[a-z0-9]{8,40}")
_CALL = re.compile(r"call-[0-9a-f]{16}")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_ESCAPED = re.compile(r"__|_([0-9a-f]{2})|([a-z0-9-])")
_ITEM = re.compile(r"(0|[1-9][0-9]{0,8})")


class SubjectError(ValueError):
    """A name cannot be part of a subject, or a subject is not one of ours."""


class StepId(msgspec.Struct, frozen=True, order=True):
    """A step, one item of a mapped step, or the task that undoes either."""

    key: str
    """The step's key as the author wrote it."""
    items: tuple[int, ...] = ()
    """Indices of the map items, outermost first; empty for a plain step."""
    undo: bool = False
    """Whether it is the task that undoes the step."""

    def __str__(self) -> str:
        return "~".join((self.key, *map(str, self.items), *([UNDO] if self.undo else ())))


class RunSubject(msgspec.Struct, frozen=True):
    """A journal or fact subject taken apart."""

    namespace: str
    """The run's tenant."""
    shard: str
    """The run's virtual shard, two hexadecimal digits."""
    run: str
    """The run's id."""
    event: tuple[str, ...]
    """The event's own tokens, such as `("step", "lint", "1", "outcome", "completed")`."""


class StepEvent(msgspec.Struct, frozen=True):
    """The tokens of a step's event taken apart."""

    token: str
    """The escaped step."""
    attempt: int
    """Counted from 1."""
    what: str
    """What happened, such as `scheduled`, `started`, `turn`, `spent` or `outcome`."""
    rest: tuple[str, ...]
    """What follows: pool and class, the turn's number, the status."""


class IntakeSubject(msgspec.Struct, frozen=True):
    """The subject of an event of a user's system taken apart."""

    namespace: str
    """The tenant."""
    topic: str
    """The user's own topic, one token or more."""


class TimerSubject(msgspec.Struct, frozen=True):
    """A timer or fired subject taken apart."""

    namespace: str
    """The run's tenant."""
    shard: str
    """The run's virtual shard, two hexadecimal digits."""
    run: str
    """The run's id."""
    number: int
    """The deadline the timer was armed for, Unix milliseconds."""


def token(name: str) -> str:
    """Check that a name is one token: lower-case letters, digits, `_` and `-`, at most 64.

    Raises:
        SubjectError: It is not.
    """
    if _TOKEN.fullmatch(name) is None:
        raise SubjectError(f"{name!r} must be 1 to 64 of a-z, 0-9, '_' and '-'")
    return name


def shard_of(run: str) -> str:
    """Return the virtual shard of a run, two hexadecimal digits: CRC-32 of the id modulo 256."""
    return f"{zlib.crc32(run.encode()) % SHARDS:02x}"


def escape_key(key: str) -> str:
    """Escape a step key into one token: `_` doubles, any other foreign byte becomes `_xx`.

    Raises:
        SubjectError: The key is empty or too long.
    """
    if not key or len(key) > MAX_STEP_KEY:
        raise SubjectError(f"a step key has 1 to {MAX_STEP_KEY} characters, this one {len(key)}")
    try:
        escaped = "".join(_escape_character(character) for character in key)
    except UnicodeEncodeError as error:
        raise SubjectError(f"step key {key!r} is no valid Unicode text") from error
    if len(escaped) > MAX_STEP_TOKEN:
        raise SubjectError(f"step key {key!r} is longer than {MAX_STEP_TOKEN} bytes when escaped")
    return escaped


def _escape_character(character: str) -> str:
    if character in _PLAIN:
        return character
    if character == "_":
        return "__"
    return "".join(f"_{byte:02x}" for byte in character.encode())


def unescape_key(escaped: str) -> str:
    """Return the step key that `escape_key` made a token of.

    Raises:
        SubjectError: No key has this token.
    """
    out = bytearray()
    position = 0
    while match := _ESCAPED.match(escaped, position):
        out += bytes.fromhex(match[1]) if match[1] else (match[2] or "_").encode()
        position = match.end()
    try:
        key = out.decode()
    except UnicodeDecodeError:
        key = ""
    if position != len(escaped) or not key or escape_key(key) != escaped:
        raise SubjectError(f"{escaped!r} is no step token")
    return key


def step_token(step: StepId) -> str:
    """Return the token of a step or map item.

    Raises:
        SubjectError: The key has no token, or an index is not 0 to 999,999,999.
    """
    if not all(0 <= index <= MAX_ITEM for index in step.items):
        raise SubjectError(f"map items count from 0 to {MAX_ITEM}: {step}")
    parts = (escape_key(step.key), *map(str, step.items))
    return "~".join((*parts, UNDO) if step.undo else parts)


def parse_step_token(text: str) -> StepId:
    """Return the step of a token.

    Raises:
        SubjectError: No step has this token.
    """
    key, *items = text.split("~")
    undo = items[-1:] == [UNDO]
    if undo:
        items.pop()
    if not all(_ITEM.fullmatch(item) for item in items):
        raise SubjectError(f"{text!r} is no step token")
    return StepId(unescape_key(key), tuple(map(int, items)), undo)


def step_token_of(text: str) -> str:
    """Return the token of a step as people write it, `review` or `review~3`.

    Raises:
        SubjectError: No step is written so.
    """
    key, *items = text.split("~")
    return "~".join((escape_key(key), *items))


def step_text_of(step: str) -> str:
    """Return a step's token as people write it.

    Raises:
        SubjectError: No step has this token.
    """
    return str(parse_step_token(step))


# The journal of a run.


def run_prefix(namespace: str, run: str) -> str:
    """Return the subject under which the whole journal of a run lies.

    Raises:
        SubjectError: The namespace or the run id has a foreign form.
    """
    if _RUN.fullmatch(run) is None:
        raise SubjectError(f"run id {run!r} must be 8 to 40 of a-z and 0-9")
    return f"{PREFIX}.{token(namespace)}.run.{shard_of(run)}.{run}"


def run_all(namespace: str, run: str) -> str:
    """Return the pattern of every event of a run."""
    return f"{run_prefix(namespace, run)}.>"


def run_event(namespace: str, run: str, event: str) -> str:
    """Return the subject of a run's own event, such as `started` or `ended`."""
    return f"{run_prefix(namespace, run)}.{event}"


def _attempt(prefix: str, step: str, attempt: int) -> str:
    return f"{prefix}.step.{step}.{attempt}"


def scheduled(prefix: str, step: str, attempt: int, *, pool: str, priority: str) -> str:
    """Return the subject of a dispatch; it is the task that workers of the pool receive.

    Args:
        prefix: The run's prefix.
        step: The step's token.
        attempt: Counted from 1.
        pool: The pool's name.
        priority: `p0` to `p3`.
    """
    return f"{_attempt(prefix, step, attempt)}.scheduled.{pool}.{priority}"


def dispatch_guard(prefix: str, step: str, attempt: int) -> str:
    """Return the group of subjects among which an attempt has at most one dispatch."""
    return f"{_attempt(prefix, step, attempt)}.scheduled.>"


def step_started(prefix: str, step: str, attempt: int) -> str:
    """Return the subject that says an attempt is being worked on."""
    return f"{_attempt(prefix, step, attempt)}.started"


def turn(prefix: str, step: str, attempt: int, number: int) -> str:
    """Return the subject of one turn of an agent loop, counted from 1; it is the fence."""
    return f"{_attempt(prefix, step, attempt)}.turn.{number}"


def turns(prefix: str, step: str, attempt: int) -> str:
    """Return the pattern of all turns of an attempt."""
    return f"{_attempt(prefix, step, attempt)}.turn.*"


def outcome(prefix: str, step: str, attempt: int, status: str) -> str:
    """Return the subject of an attempt's outcome."""
    return f"{_attempt(prefix, step, attempt)}.outcome.{status}"


def outcome_guard(prefix: str, step: str, attempt: int) -> str:
    """Return the group of subjects among which an attempt has at most one outcome."""
    return f"{_attempt(prefix, step, attempt)}.outcome.*"


def step_spent(prefix: str, step: str, attempt: int, teller: str) -> str:
    """Return the subject that says what work used whose outcome did not count."""
    return f"{_attempt(prefix, step, attempt)}.spent.{token(teller)}"


def step_waiting(prefix: str, step: str, attempt: int) -> str:
    """Return the subject that says a step waits."""
    return f"{_attempt(prefix, step, attempt)}.waiting"


def step_mapped(prefix: str, step: str, attempt: int) -> str:
    """Return the subject that says a step is repeated for items."""
    return f"{_attempt(prefix, step, attempt)}.mapped"


def step_checked(prefix: str, step: str, attempt: int) -> str:
    """Return the subject that says whether an attempt's output satisfies its schema."""
    return f"{_attempt(prefix, step, attempt)}.checked"


def step_beat(prefix: str, step: str, attempt: int, number: int) -> str:
    """Return the subject of a worker's sign of life, counted from 1."""
    return f"{_attempt(prefix, step, attempt)}.beat.{number}"


def step_beats(prefix: str, step: str, attempt: int) -> str:
    """Return the pattern of all signs of life of an attempt."""
    return f"{_attempt(prefix, step, attempt)}.beat.*"


def child_started(prefix: str, child: str) -> str:
    """Return the subject that says a child run was started; it is the step's dispatch."""
    return f"{prefix}.child.{child}.started"


def child_ended(prefix: str, child: str) -> str:
    """Return the subject that says a child run ended; it is the step's outcome."""
    return f"{prefix}.child.{child}.ended"


def lease_name(kind: str, workflow: str, key: str) -> str:
    """Return the token of a lease; the same key of another workflow is another lease."""
    return hashlib.sha256(f"{kind}/{workflow}/{key}".encode()).hexdigest()[:32]


def lease_held(prefix: str, lease: str) -> str:
    """Return the subject that says a run waits for a lease."""
    return f"{prefix}.held.{lease}"


def lease_granted(prefix: str, lease: str) -> str:
    """Return the subject that says a run holds a lease."""
    return f"{prefix}.granted.{lease}"


def task_prefix(subject: str) -> str:
    """Return the part of a task's subject that its turns and outcome share.

    Raises:
        SubjectError: It is another kind of subject.
    """
    # By position: a step and a pool may be called `scheduled` too.
    match subject.split("."):
        case ["segue", "v1", _, "run", _, _, "step", _, _, "scheduled", _, _] as parts:
            return ".".join(parts[:-3])
        case _:
            raise SubjectError(f"{subject!r} is no task")


def parse_run(subject: str) -> RunSubject:
    """Take a journal or fact subject apart.

    Raises:
        SubjectError: It is another kind of subject.
    """
    parts = subject.split(".")
    match parts:
        case ["segue", "v1", namespace, "run" | "fact", shard, run, _, *_]:
            return RunSubject(namespace, shard, run, tuple(parts[6:]))
        case _:
            raise SubjectError(f"{subject!r} is no run event")


def parse_step_event(event: tuple[str, ...]) -> StepEvent | None:
    """Take a step's event apart; None when it is no step's event or a form not known here."""
    match event:
        case ("step", step, attempt, what, *rest) if attempt.isascii() and attempt.isdigit():
            return StepEvent(step, int(attempt), what, tuple(rest))
        case _:
            return None


def fact_of(subject: str) -> str:
    """Return the fact subject that the broker republishes a journal subject on.

    Raises:
        SubjectError: It is another kind of subject.
    """
    # By position: a namespace may be called `run` too.
    match subject.split("."):
        case ["segue", "v1", namespace, "run", *rest]:
            return ".".join((PREFIX, namespace, "fact", *rest))
        case _:
            raise SubjectError(f"{subject!r} is no journal subject")


def facts(namespace: str = "*", run: str = "") -> str:
    """Return the pattern of all facts of a namespace, or of one run."""
    if not run:
        return f"{PREFIX}.{namespace}.fact.>"
    return f"{fact_of(run_prefix(namespace, run))}.>"


def runs_of(namespace: str, event: str) -> str:
    """Return the pattern of one run-level event over all runs of a namespace."""
    return f"{PREFIX}.{namespace}.run.*.*.{event}"


def shard_filters(first: int, last: int) -> tuple[str, ...]:
    """Return the patterns of the virtual shards `first` to `last`, inclusive."""
    return tuple(f"{PREFIX}.*.run.{number:02x}.>" for number in range(first, last + 1))


def pool_filter(pool: str, priority: str, namespace: str = "*") -> str:
    """Return the pattern of the tasks of a pool and class, over all runs."""
    return f"{PREFIX}.{namespace}.run.*.*.step.*.*.scheduled.{token(pool)}.{priority}"


# Timers.


def timer(namespace: str, run: str, number: int) -> str:
    """Return the subject of a schedule; `number` is its deadline in Unix milliseconds."""
    return f"{PREFIX}.{token(namespace)}.timer.{shard_of(run)}.{run}.{number}"


def fired(namespace: str, run: str, number: int) -> str:
    """Return the subject on which the broker fires a schedule."""
    return f"{PREFIX}.{token(namespace)}.fired.{shard_of(run)}.{run}.{number}"


def timers_of(namespace: str, run: str) -> str:
    """Return the pattern of all schedules of a run."""
    return f"{PREFIX}.{token(namespace)}.timer.{shard_of(run)}.{run}.>"


def timers() -> str:
    """Return the pattern of all schedules."""
    return f"{PREFIX}.*.timer.>"


def parse_timer(subject: str) -> TimerSubject:
    """Take the subject of a schedule apart.

    Raises:
        SubjectError: It is another kind of subject.
    """
    match subject.split("."):
        case ["segue", "v1", namespace, "timer", shard, run, number] if number.encode().isdigit():
            return TimerSubject(namespace, shard, run, int(number))
        case _:
            raise SubjectError(f"{subject!r} is no timer")


def timer_cancelled(namespace: str, run: str) -> str:
    """Return the subject of the message that takes a run's timer back."""
    return f"{PREFIX}.{token(namespace)}.timer.{shard_of(run)}.{run}.cancelled"


def parse_fired(subject: str) -> TimerSubject:
    """Take a fired subject apart.

    Raises:
        SubjectError: It is another kind of subject.
    """
    match subject.split("."):
        case ["segue", "v1", namespace, "fired", shard, run, number] if number.encode().isdigit():
            return TimerSubject(namespace, shard, run, int(number))
        case _:
            raise SubjectError(f"{subject!r} is no fired timer")


# Everything that is not a journal.


def intake(namespace: str, topic: str) -> str:
    """Return the subject of an event of a user's system."""
    return f"{PREFIX}.{token(namespace)}.in.{topic}"


def parse_intake(subject: str) -> IntakeSubject:
    """Take the subject of an event of a user's system apart.

    Raises:
        SubjectError: It is another kind of subject.
    """
    match subject.split("."):
        case ["segue", "v1", namespace, "in", *topic] if topic:
            return IntakeSubject(namespace, ".".join(topic))
        case _:
            raise SubjectError(f"{subject!r} is no event of a user's system")


def short_hash(text: str) -> str:
    """Return a token that stands for a text of any form, sixteen digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def command(namespace: str, service: str, verb: str) -> str:
    """Return the request subject of a service's command."""
    return f"{PREFIX}.{namespace}.cmd.{token(service)}.{token(verb)}"


def delta(namespace: str, run: str, step: str) -> str:
    """Return the subject of a step's ephemeral progress; `step` is a token."""
    return f"{PREFIX}.{token(namespace)}.delta.{run}.{step}"


def deltas(namespace: str = "*", run: str = "*") -> str:
    """Return the pattern of all deltas."""
    return f"{PREFIX}.{namespace}.delta.{run}.>"


def control(namespace: str, run: str, what: str) -> str:
    """Return the subject of a hint to whoever works on a run."""
    return f"{PREFIX}.{token(namespace)}.ctl.{run}.{token(what)}"


def controls(what: str) -> str:
    """Return the pattern of a hint over all runs."""
    return f"{PREFIX}.*.ctl.*.{token(what)}"


def call_deltas(namespace: str, name: str) -> str:
    """Return a subject for the deltas of a call that one caller alone listens to."""
    return f"{PREFIX}.{token(namespace)}.delta.call-{short_hash(name)}.answer"


def is_call_deltas(subject: str, namespace: str) -> bool:
    """Tell whether a subject is one of those that callers in a namespace listen to."""
    match subject.split("."):
        case ["segue", "v1", space, "delta", call, "answer"]:
            return space == namespace and _CALL.fullmatch(call) is not None
        case _:
            return False


def call_control(namespace: str, request: str, what: str) -> str:
    """Return the subject of a hint to whoever carries out a call; `request` is its id."""
    return f"{PREFIX}.{token(namespace)}.ctl.call-{short_hash(request)}.{token(what)}"


def telemetry(namespace: str, service: str, name: str, event: str) -> str:
    """Return the subject of a service's telemetry."""
    return f"{PREFIX}.{token(namespace)}.tel.{token(service)}.{token(name)}.{token(event)}"


def dead(namespace: str, service: str, reason: str) -> str:
    """Return the subject of a dead letter."""
    return f"{PREFIX}.{token(namespace)}.dead.{token(service)}.{token(reason)}"


def template(subject: str) -> str:
    """Return a subject with its ids replaced by names, so that metric labels stay few."""
    match subject.split("."):
        case ["segue", "v1", _, "run" | "fact" as kind, _, _, "step", _, _, what, *rest]:
            tail = "" if what == "turn" else "".join(f".{part}" for part in rest)
            return f"{PREFIX}.<ns>.{kind}.<shard>.<run>.step.<key>.<attempt>.{what}{tail}"
        case ["segue", "v1", _, "run" | "fact" as kind, _, _, what, *_]:
            return f"{PREFIX}.<ns>.{kind}.<shard>.<run>.{what}"
        case ["segue", "v1", _, "timer" | "fired" as kind, *_]:
            return f"{PREFIX}.<ns>.{kind}.<shard>.<run>.<n>"
        case ["segue", "v1", _, "delta" | "ctl" as kind, *_]:
            return f"{PREFIX}.<ns>.{kind}.<run>.<what>"
        case ["segue", "v1", _, "cmd" | "tel" | "dead" as kind, *rest]:
            return ".".join((PREFIX, "<ns>", kind, *rest))
        case _:
            return "<other>"
