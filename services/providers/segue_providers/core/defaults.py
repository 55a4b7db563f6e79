"""The built-in configuration: what holds where nobody configured anything?"""

from collections.abc import Mapping
from typing import Final

from segue_providers.core import offline

DEFAULT: Final[Mapping[str, object]] = {
    "policy": "priority",
    "providers": {
        "claude": {
            "wire": "anthropic",
            "aliases": ["anthropic"],
            "priority": 1,
            "keys": [{"env": "ANTHROPIC_API_KEY"}],
            "default_model": "claude-sonnet-5-5",
        },
        "gemini": {
            "wire": "gemini",
            "aliases": ["google"],
            "priority": 2,
            "keys": [{"env": "GEMINI_API_KEY"}, {"env": "GOOGLE_API_KEY"}],
            "default_model": "gemini-3.1-pro-preview",
            "embedding_model": "gemini-embedding-001",
            "models": {"gemini-3.1-pro-preview": {"context_window": 1_048_576}},
        },
        "openai": {
            "wire": "openai-responses",
            "aliases": ["gpt"],
            "priority": 3,
            "keys": [{"env": "OPENAI_API_KEY"}],
            "default_model": "gpt-6.1-sol",
            "embedding_model": "text-embedding-3-small",
        },
        offline.NAME: {
            "wire": "offline",
            "priority": 1_000,
            "default_model": offline.MODEL,
            "models": {offline.MODEL: {"price": {}}},
        },
    },
    "aliases": {
        "fast": ["claude/claude-haiku-5-5", "gemini/gemini-3.8-flash", "openai/gpt-6-luna"],
        "smart": ["claude/claude-opus-5-5", "gemini/gemini-4-argon", "openai/gpt-6-astra"],
        "coding-strong": ["claude/claude-opus-5-5", "openai/gpt-6.1-sol", "gemini/gemini-4-argon"],
        "cheap": ["openai/gpt-6-luna", "claude/claude-haiku-5-5", "gemini/gemini-3.5-flash-lite"],
        "claude-sonnet": ["claude/claude-sonnet-5-5"],
        "claude-opus": ["claude/claude-opus-5-5"],
        "claude-haiku": ["claude/claude-haiku-5-5"],
        "gemini-pro": ["gemini/gemini-3.1-pro-preview"],
        "gemini-flash": ["gemini/gemini-3.8-flash"],
    },
}
"""It is written as a file would hold it; a file is merged over it, field by field."""
