"""The sandbox: can an expression get out, or use more than its share?"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Undefined

from segue_language.expressions import ExpressionError, Scope, render, render_prompt, truthy
from segue_language.sandbox import SANDBOX

SCOPE = Scope({"text": "abc", "list": [1, 2], "map": {"a": 1, "_id": 7}, "big": "x" * 500_000}, {})

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ text.__class__ }}",
    "{{ map.__init__.__globals__ }}",
    "{{ map['__class__'] }}",
    "{{ text['__class__'] }}",
    "{{ text|attr('__class__') }}",
    "{{ list|map(attribute='__class__')|list }}",
    "{{ list|groupby('__class__') }}",
    "{{ self.__init__ }}",
    "{{ _meter }}",
    "{{ _path('text') }}",
    "{{ _each }}",
    "{{ list|_each }}",
    "{{ range.__self__ }}",
    "{{ text.format(text) }}",
    "{{ '{0.__class__}'.format(text) }}",
    "{{ '%s' % text }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__ }}",
    "{{ joiner() }}",
    "{{ namespace() }}",
    "{{ map.update({'b': 2}) }}",
    "{{ map.pop('a') }}",
    "{{ list.append(3) }}",
    "{{ list.clear() }}",
    "{{ (text.upper)() }}{{ map.get.__self__ }}",
    "{% set x = 1 %}{{ x }}",
    "{% set map.a = 1 %}",
    "{% macro m() %}{% endmacro %}",
    "{% include 'x' %}",
    "{% import 'x' as x %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with x = 1 %}{{ x }}{% endwith %}",
    "{% call text() %}{% endcall %}",
    "{% for x in list recursive %}{{ loop(list) }}{% endfor %}",
    "{% for x in list recursive %}{{ x }}{% endfor %}",
    "{% for x in list %}{{ loop.__class__ }}{% endfor %}",
    "{% for x in list %}{{ loop._iterable }}{% endfor %}",
    "{% for x in list %}{{ loop }}{% endfor %}",
    "{% for _meter in list %}x{% endfor %}",
    "{{ range(*list) }}",
    "{{ range(**map) }}",
    "{{ text() }}",
    "{{ list[0]() }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_an_expression_cannot_leave_its_data(template: str) -> None:
    """Objects, internals, definitions and changes are out of reach."""
    with pytest.raises(ExpressionError):
        render(template, SCOPE)


def test_data_whose_name_begins_with_an_underscore_can_be_read() -> None:
    """It is data like any other; only objects have internals."""
    assert render("{{ map._id }} {{ map._id + 1 }}", SCOPE) == "7 8"


@pytest.mark.parametrize("name", ["format", "__class__", "encode", "translate"])
def test_the_sandbox_itself_hands_out_listed_methods_only(name: str) -> None:
    """Even an expression that got past the other checks would find nothing."""
    assert isinstance(SANDBOX.getattr("text", name), Undefined)


def test_data_is_never_changed() -> None:
    """Sorting and reversing give new lists."""
    assert render("{{ list|sort(reverse=true) }}", SCOPE) == [2, 1]
    assert SCOPE.inputs["list"] == [1, 2]


EXCESSES = [
    "{{ range(10001) }}",
    "{{ range(0, 99999999999, 2) }}",
    "{{ 9 ** 9 ** 9 ** 9 ** 9 }}",
    "{{ 2 ** 99999999 }}",
    "{{ (10 ** 1000) * (10 ** 1000) }}",
    "{{ 'a' * 99999999999 }}",
    "{{ 99999999999 * 'a' }}",
    "{{ [1] * 99999999999 }}",
    "{{ big + big + big }}",
    "{{ big ~ big ~ big }}",
    "{{ big }}{{ big }}{{ big }}",
    "{{ big }} {{ big | upper }} {{ big }}",
    "{{ big|replace('', 'yyyyyyyy') }}",
    "{{ big.replace('x', 'yyyyyyyy') }}",
    "{{ range(10000)|join(big) }}",
    "{{ big.join(range(10)) }}",
    "{{ [big, big, big]|join }}",
    "{{ text|indent(99999999) }}",
    "{{ list|tojson(indent=99999999) }}",
    "{{ 1.5|round(999999999, 'ceil') }}",
    "{{ text.ljust(99999999) }}",
    "{{ text.zfill(99999999) }}",
    "{{ text|center(99999999) }}",
    "{{ list|batch(99999999, 'x')|list }}",
    "{{ list|slice(99999999)|list }}",
    "{% for a in range(200) %}{% for b in range(200) %}{{ a }}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{{ range(9999)|list|length }}{% endfor %}",
    "{% for a in range(5000) %}{{ big|upper|length }}{% endfor %}",
    "{% for a in range(9000) %}{{ big[:300] }}{% endfor %}",
    "{{ (range(10000)|list + range(10000)|list) * 999 }}",
    "{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}",
    "{{ " + "not " * 3_000 + "1 }}",
    "{{ " + "[" * 150 + "]" * 150 + " }}",
    "{{ " + "+".join(["1"] * 6_000) + " }}",
    "{{ [" + "1," * 6_000 + "] }}",
    "{{ " + "9" * 5_000 + " }}",
    "{{ 1 }}" + " " * 300_000 + "{{ 1 + 1 }}",
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("template", EXCESSES, ids=lambda template: template[:40])
def test_an_expression_cannot_use_more_than_its_share(template: str) -> None:
    """Numbers, texts, lists, loops and the expression itself are bounded."""
    with pytest.raises(ExpressionError):
        render(template, SCOPE)


def test_an_iterator_over_too_much_data_is_refused() -> None:
    """Data may be larger than what an expression may go through."""
    with pytest.raises(ExpressionError, match="more than 10,000 items"):
        render("{{ all|map('abs') }}", Scope({"all": [1] * 20_000}, {}))


def test_a_generous_use_is_within_bounds() -> None:
    """The bounds leave room for real work."""
    template = "{% for a in range(1000) %}{{ a }},{% endfor %}"
    assert str(render(template, SCOPE)).startswith("0,1,2,")
    assert render("{{ range(10000)|sum }}", SCOPE) == 49_995_000
    assert len(str(render("{{ big ~ big }}", SCOPE))) == 1_000_000


def test_a_prompt_is_bounded_too() -> None:
    """Placeholders count like anything else."""
    with pytest.raises(ExpressionError, match="1 MiB"):
        render_prompt("{big}{big}{big}", SCOPE)


@given(st.text(alphabet="{}%#|.()[]'\"+-*/~_ abct01\n", max_size=60))
def test_any_text_is_rendered_or_refused(text: str) -> None:
    """No template fails in any other way, as text, prompt or condition."""
    for evaluate in (render, render_prompt, truthy):
        with suppress(ExpressionError):
            evaluate(text, SCOPE)
