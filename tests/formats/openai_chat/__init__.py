from unittest.mock import patch

THE_LONG_WAY = patch(
    "tokenwire.protocols.formats.openai_chat.client._decode_plain", side_effect=ValueError
)
"""A context in which chunks of plain text are decoded as all others are."""
