"""Requests in the manner of agents: the second round of a loop with a tool, as each sends it."""

from typing import Any, NamedTuple

__all__ = ["REQUESTS", "Agent"]

_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
_ARGUMENTS = '{"path": "a.txt"}'


class Agent(NamedTuple):
    """A request in the words of `format`. `refused`: the field for which a service of another one
    can't be asked it; it can if the operator has given `allow`."""

    format: str
    path: str
    body: dict[str, Any]
    refused: dict[str, str] = {}
    allow: tuple[str, ...] = ()


_CACHED = {"type": "ephemeral"}
_THINKING = {"type": "thinking", "thinking": "Read it.", "signature": "EqQB"}
_ALL = (
    *("openai_chat", "openai_responses", "anthropic", "gemini", "ollama"),
    *("cohere", "bedrock", "mistral"),
)


def _refused(field: str, *backs: str) -> dict[str, str]:
    return dict.fromkeys(backs or _ALL, field)


REQUESTS = {
    "claude": Agent(
        "anthropic",
        "/v1/messages?beta=true",
        {
            "model": "claude-x",
            "max_tokens": 32000,
            "system": [
                {"type": "text", "text": "You are an agent."},
                {"type": "text", "text": "Be careful.", "cache_control": _CACHED},
            ],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Read a.txt"}]},
                {
                    "role": "assistant",
                    "content": [
                        _THINKING,
                        {"type": "redacted_thinking", "data": "RED"},
                        {"type": "text", "text": "I look."},
                        {
                            "type": "tool_use",
                            "id": "toolu_1",
                            "name": "Read",
                            "input": {"path": "a.txt"},
                            "cache_control": _CACHED,
                        },
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": "plum",
                            "is_error": False,
                            "cache_control": _CACHED,
                        }
                    ],
                },
            ],
            "tools": [
                {
                    "name": "Read",
                    "description": "Reads a file",
                    "input_schema": _SCHEMA,
                    "eager_input_streaming": True,
                }
            ],
            "tool_choice": {"type": "auto"},
            "metadata": {"user_id": "u"},
            "thinking": {"type": "adaptive", "display": "updates"},
            "context_management": {"edits": [{"type": "clear_thinking", "keep": "all"}]},
            "output_config": {"effort": "high"},
            "stream": True,
        },
    ),
    "claude-with-later-system": Agent(
        "anthropic",
        "/v1/messages",
        {
            "model": "claude-x",
            "max_tokens": 32000,
            "messages": [
                {"role": "user", "content": "Read a.txt"},
                {"role": "system", "content": "There are agents."},
            ],
            "stream": True,
        },
        _refused("messages", "gemini", "bedrock"),
        ("system_midway",),
    ),
    "qwen-anthropic": Agent(
        "anthropic",
        "/v1/messages",
        {
            "model": "claude-x",
            "max_tokens": 8000,
            "messages": [{"role": "user", "content": "Read a.txt"}],
            "temperature": 1,
            "thinking": {"type": "enabled", "budget_tokens": 32000},
            "stream": True,
        },
        _refused("thinking.budget_tokens"),
        ("effort_from_budget",),
    ),
    "copilot": Agent(
        "openai_chat",
        "/v1/chat/completions",
        {
            "model": "gpt-x",
            "messages": [
                {"role": "system", "content": "You are an agent."},
                {"role": "user", "content": [{"type": "text", "text": "Read a.txt"}]},
                {
                    "role": "assistant",
                    "content": "I look.",
                    "refusal": None,
                    "reasoning": "Read it.",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "read", "arguments": _ARGUMENTS},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "plum"},
            ],
            "temperature": 0,
            "top_p": 0.95,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "read", "parameters": _SCHEMA, "strict": False},
                }
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "store": False,
        },
    ),
    "codex": Agent(
        "openai_responses",
        "/v1/responses",
        {
            "model": "gpt-x",
            "input": [
                {
                    "type": "message",
                    "id": "msg_a",
                    "role": "developer",
                    "content": [
                        {"type": "input_text", "text": "You are an agent."},
                        {"type": "input_text", "text": "Be careful."},
                    ],
                    "internal_chat_message_metadata_passthrough": {"turn_id": "t"},
                },
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Read a.txt"}],
                },
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Read it."}],
                    "encrypted_content": "ENC",
                },
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call_1",
                    "name": "read",
                    "arguments": _ARGUMENTS,
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "plum"},
            ],
            "tools": [
                {"type": "function", "name": "read", "strict": False, "parameters": _SCHEMA},
                {"type": "web_search", "external_web_access": False},
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"effort": "high", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "k",
            "text": {"verbosity": "low"},
            "client_metadata": {"session_id": "s"},
        },
        _refused("tools"),
        ("own_tools",),
    ),
    "gemini": Agent(
        "gemini",
        "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Look"}, {"text": "Read a.txt"}]},
                {
                    "role": "model",
                    "parts": [
                        {"text": "Read it.", "thought": True},
                        {
                            "functionCall": {"name": "read", "args": {"path": "a.txt"}},
                            "thoughtSignature": "U0lH",
                        },
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "name": "read",
                                "response": {"name": "read", "content": "plum"},
                            }
                        }
                    ],
                },
            ],
            "systemInstruction": {"parts": [{"text": "You are an agent."}]},
            "tools": [
                {"functionDeclarations": [{"name": "read", "parametersJsonSchema": _SCHEMA}]}
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "generationConfig": {
                "temperature": 1,
                "topP": 0.95,
                "thinkingConfig": {"includeThoughts": True, "thinkingBudget": -1},
            },
        },
    ),
    "gemini-with-budget": Agent(
        "gemini",
        "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
        {
            "contents": [{"role": "user", "parts": [{"text": "Read a.txt"}]}],
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 9000}},
        },
        _refused("safetySettings"),
        ("safetySettings", "effort_from_budget"),
    ),
    "ollama": Agent(
        "ollama",
        "/api/chat",
        {
            "model": "qwen-x",
            "messages": [
                {"role": "user", "content": "Read a.txt", "images": []},
                {
                    "role": "assistant",
                    "content": "I look.",
                    "thinking": "Read it.",
                    "tool_calls": [{"function": {"name": "read", "arguments": {"path": "a.txt"}}}],
                },
                {"role": "tool", "content": "plum", "tool_name": "read"},
            ],
            "tools": [{"type": "function", "function": {"name": "read", "parameters": _SCHEMA}}],
            "think": True,
            "options": {},
            "stream": True,
        },
    ),
    "aider-ollama": Agent(
        "ollama",
        "/api/chat",
        {
            "model": "qwen-x",
            "messages": [{"role": "user", "content": "Read a.txt"}],
            "options": {"temperature": 0, "num_ctx": 8934},
        },
        _refused("options.num_ctx"),
        ("options.num_ctx",),
    ),
}
"""By the name of the agent."""
