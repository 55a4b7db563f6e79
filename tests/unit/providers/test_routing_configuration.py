"""Does a configuration file mean what its author meant, and are all mistakes told at once?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.routing_support import parsed, problems

from segue_providers.core.configuration import Configuration, KeySource, Provider
from segue_providers.core.configuration_file import digest, parse
from segue_providers.core.yaml_text import LONGEST


def test_without_a_file_three_vendors_and_the_stand_in_are_there() -> None:
    """The built-in configuration is valid, and ranks claude, gemini, openai, offline."""
    found = parsed()

    ranked = sorted(found.providers, key=lambda name: found.providers[name].priority)
    assert ranked == ["claude", "gemini", "openai", "offline"]
    assert {"fast", "smart", "coding-strong", "cheap"} <= set(found.aliases)
    assert found.providers["gemini"].keys == (
        KeySource(env="GEMINI_API_KEY"),
        KeySource(env="GOOGLE_API_KEY"),
    )


def test_a_file_is_laid_over_the_built_in_configuration() -> None:
    """A field changes itself alone; lists are replaced; what has no value changes nothing."""
    found = parsed(
        """
policy: cost
providers:
  claude:
    priority: 7
    timeouts: {first_token_s: 9}
    keys: [{file: /run/secrets/claude}]
  openai: {enabled: false}
  ollama:
    wire: openai-chat
    base_url: http://127.0.0.1:11434/v1
namespaces:
"""
    )

    claude = found.providers["claude"]
    assert found.policy == "cost"
    assert (claude.priority, claude.default_model) == (7, "claude-sonnet-5-5")
    assert (claude.timeouts.first_token_s, claude.timeouts.idle_s) == (9, 20)
    assert [key.ref for key in claude.keys] == ["file:/run/secrets/claude"]
    assert not found.providers["openai"].enabled
    assert found.providers["ollama"].wire == "openai-chat"
    assert found.namespaces == {}


def test_json_is_read_too() -> None:
    """A JSON text is a YAML text."""
    assert parsed('{"policy": "latency", "max_attempts": 3}').max_attempts == 3


def test_the_word_on_is_a_word() -> None:
    """`on` is a field's name and `yes` a text, as in YAML 1.2; 010 is no number."""
    found = parsed(
        """
fallbacks:
  - on: [context_window]
    chain: [gemini]
providers: {claude: {models: {010: {}, yes: {}, 4: {}, true: {}}}}
"""
    )

    assert found.fallbacks[0].on == {"context_window"}
    assert set(found.providers["claude"].models) == {"010", "yes", "4", "true"}


def test_a_variable_goes_over_the_file() -> None:
    """Four fields of each provider can be set by variables; empty ones set nothing."""
    found = parsed(
        "providers: {my-server: {wire: openai-chat, base_url: 'http://a/v1'}}",
        SEGUE_PROVIDERS_MY_SERVER_BASE_URL="http://b/v1",
        SEGUE_PROVIDERS_CLAUDE_ENABLED="false",
        SEGUE_PROVIDERS_GEMINI_PRIORITY=" 9 ",
        SEGUE_PROVIDERS_OPENAI_DEFAULT_MODEL="gpt-x",
        SEGUE_PROVIDERS_OPENAI_PRIORITY="",
        SEGUE_PROVIDERS_CONCURRENCY="4",
        PRIORITY="high",
    )

    assert found.providers["my-server"].base_url == "http://b/v1"
    assert not found.providers["claude"].enabled
    assert found.providers["gemini"].priority == 9
    assert (found.providers["openai"].default_model, found.providers["openai"].priority) == (
        "gpt-x",
        3,
    )


def test_a_bad_variable_is_told_by_its_name() -> None:
    """The place of a problem is the variable, not the file that does not have it."""
    told = problems(
        "providers: {broken: 3}",
        SEGUE_PROVIDERS_CLAUDE_PRIORITY="first",
        SEGUE_PROVIDERS_CLADE_BASE_URL="http://a",
        SEGUE_PROVIDERS_BROKEN_ENABLED="true",
    )

    assert any(one.startswith("SEGUE_PROVIDERS_CLAUDE_PRIORITY: ") for one in told)
    [stranger] = [one for one in told if "CLADE" in one]
    assert "there is no such provider; there are BROKEN, CLAUDE" in stranger


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    """Fields, values, names and chains are checked together, each with line and way out."""
    told = problems(
        """
polcy: cost
providers:
  claude:
    priority: soon
    api_key: sk-1234567890
    kind: x
  Bad Name: {wire: anthropic}
  ollama: {wire: openai-chat}
  broken: {}
  keyed: {wire: anthropic, keys: [sk-1234567890, {env: A, file: b}]}
fallbacks:
  - {on: [bad_request], chain: [claude]}
  - {on: [context_window], chain: [clade]}
aliases:
  quick: [nobody/here, fast]
  gemini: [openai]
  none: []
"""
    )

    def has(*parts: str) -> bool:
        return any(all(part in one for part in parts) for one in told)

    assert has("providers.yaml:2: polcy", "did you mean 'policy'?")
    assert has("providers.yaml:5: providers.claude.priority", "integer")
    assert has("providers.yaml:6", "api_key", "keys never stand in the file")
    assert has("providers.yaml:7", "kind", "known here: wire, enabled")
    assert has("providers.yaml:8", "Bad Name", "a name is made of")
    assert has("providers.yaml:9", "ollama.base_url", "is missing")
    assert has("providers.yaml:10", "broken.wire", "is missing")
    assert has("providers.yaml:11", "keys.0", "a key never stands here")
    assert has("providers.yaml:11", "keys.1", "not both")
    assert has("providers.yaml:13", "fallbacks.0.on", "nobody else is asked")
    assert has("providers.yaml:14: fallbacks.1.chain.0", "'clade' is no provider")
    assert has("providers.yaml:16", "aliases.quick.0", "'nobody/here'")
    assert has("providers.yaml:16", "aliases.quick.1", "is an alias itself")
    assert has("providers.yaml:17", "aliases.gemini", "already a name of provider gemini")
    assert has("providers.yaml:18", "aliases.none", "is empty")
    assert not any("sk-1234567890" in one for one in told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "providers.yaml:1: the file must hold fields"),
        ("a: [", "providers.yaml:1: "),
        ("a: 1\na: 2", "providers.yaml:2: 'a' is written twice; keep one"),
        ("a: &x 1\nb: *x", "providers.yaml:2: aliases (*name) are not read here"),
        ("a: !!python/name:os.system x", "providers.yaml:1: could not determine"),
        ("a\x00b", "providers.yaml: this is no YAML text"),
        ("[" * 3_000, "providers.yaml:1: nested too deeply"),
        (" " * (LONGEST + 1), "providers.yaml: it is longer than"),
        ("providers: 3", "providers.yaml:1: providers: "),
        ("namespaces: 3", "providers.yaml:1: namespaces: "),
        ("namespaces: {'a b': {}}", "a namespace is made of"),
        ("aliases: {a/b: [claude]}", "an alias is made of"),
        ("namespaces: {'*': {deny: [clade]}}", "namespaces.*.deny.0: 'clade' is no provider"),
        ("fallbacks: [{on: [], chain: []}]", "fallbacks.0.on: "),
        ("providers: {x: {wire: gemini, aliases: [google]}}", "already a name of gemini"),
        (
            "providers: {a-b: {wire: gemini}, a_b: {wire: gemini}}",
            "variables cannot tell apart",
        ),
        ("providers: {claude: {base_url: 'ftp://x'}}", "write an address like"),
        ("providers: {claude: {base_url: 'http://u:p@x'}}", "leave out user, password"),
        ("providers: {claude: {keys: [{}]}}", "give either env"),
        ("providers: {claude: {weight: .inf}}", "providers.claude.weight: "),
        ("providers: {claude: {models: {m: {price: {inptu: 1}}}}}", "did you mean 'input'?"),
        ("providers: {claude: {models: {m: {price: {a: {b: 1}}}}}}", "unknown field"),
        ("providers: {-1: {wire: gemini}}", "providers.-1: a name is made of"),
        ("{[a]: 1}", "providers.yaml:1: a field's name must be plain text"),
        (
            "providers:\n  anthropic: {wire: gemini}\n  claude:",
            "providers.yaml:3: providers.claude.aliases: 'anthropic' is already a name",
        ),
        ("providers: {claude: {models: [a]}, x: {wire: gemini, aliases: [A]}}", "models: "),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    """Each kind of mistake has one line that says where it is and what helps."""
    assert any(said in one for one in problems(text)), problems(text)


def test_a_name_that_only_an_invalid_provider_has_is_not_told_as_unknown() -> None:
    """One mistake is told once: the provider is wrong, the alias that means it is not."""
    told = problems(
        """
providers:
  mine: {wire: gemini, priority: soon, aliases: [own], models: {big: {}}}
fallbacks:
  - {on: [nonsense], chain: []}
  - {on: [transport], chain: [mine/big, own, big, nobody]}
"""
    )

    assert len(told) == 3
    assert any("fallbacks.1.chain.3: 'nobody'" in one for one in told)


def test_a_name_of_two_places_is_read_where_it_stands() -> None:
    """A model that is listed, an alias and a provider's alias are all known names."""
    found = parsed(
        """
fallbacks: [{on: [transport], chain: [fast, anthropic, gpt-6.1-sol, openai/anything]}]
namespaces: {team: {allow: [claude/claude-sonnet-5-5], deny: [cheap]}}
"""
    )

    assert found.fallbacks[0].chain[-1] == "openai/anything"


def test_the_digest_tells_configurations_apart() -> None:
    """Equal configurations have one digest, in whatever order they are written."""
    one = parsed("providers: {claude: {aliases: [a, b]}}")
    same = parsed("providers: {claude: {aliases: [b, a]}}")

    assert digest(one) == digest(same) != digest(parsed())


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever a file holds, the answer is a configuration or a list of problems."""
    found = parse(text, where="f", environ={})

    assert isinstance(found, Configuration) or (found and all(found))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["providers", "claude", "keys", "fallbacks", "on", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_tree_breaks_the_reader(tree: object) -> None:
    """Wrong shapes anywhere are problems, never a crash."""
    import json  # noqa: PLC0415 - only this test writes JSON

    found = parse(json.dumps(tree), where="f", environ={})

    assert isinstance(found, Configuration | list)


def test_openai_needs_no_address_for_its_chat_interface() -> None:
    """The vendor's own address is known to its library."""
    assert parsed("providers: {openai: {wire: openai-chat}}").providers["openai"].base_url == ""
    assert Provider(wire="openai-chat").base_url == ""
