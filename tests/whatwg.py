"""How the standard interprets an event stream, sentence by sentence: slow, and meant to be.

It shares nothing with `tokenwire`: it holds the whole stream, decodes it by hand and looks at one
character at a time. What is quoted is the HTML standard, sections 9.2.5 ("Parsing an event stream")
and 9.2.6 ("Interpreting an event stream"), and the Encoding standard, sections 6 and 8.1.1.
"""

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Message:
    """An event that is dispatched."""

    type: str
    data: str
    last_event_id: str


@dataclass(frozen=True)
class Ignored:
    """A line whose field the standard does not know."""

    line: str


Item: TypeAlias = Message | Ignored


@dataclass
class Interpretation:
    """What an event stream says. `retry`: the reconnection time, None if it was never set."""

    items: list[Item] = field(default_factory=list[Item])
    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list[str])


def interpret(stream: bytes) -> Interpretation:
    """The interpretation of `stream`, which ends where the file ends."""
    # "Streams must be decoded using the UTF-8 decode algorithm."
    return _Interpreter().interpret(_complete_lines(utf8_decode(stream)))


def utf8_decode(stream: bytes) -> str:
    """Encoding, section 6, "UTF-8 decode"."""
    # "Let buffer be the result of peeking three bytes from ioQueue, converted to a byte sequence.
    # If buffer is 0xEF 0xBB 0xBF, then read three bytes from ioQueue."
    if stream[:3] == b"\xef\xbb\xbf":
        stream = stream[3:]
    # "Process a queue with an instance of UTF-8's decoder, ioQueue, output, and "replacement"."
    queue = list(stream)
    output = ""
    code_point = bytes_seen = bytes_needed = 0
    lower_boundary, upper_boundary = 0x80, 0xBF
    while True:
        # "If byte is end-of-queue and UTF-8 bytes needed is not 0, then set UTF-8 bytes needed to 0
        # and return error. If byte is end-of-queue, then return finished."
        if not queue:
            return output + ("\ufffd" if bytes_needed else "")
        byte = queue.pop(0)
        # "If UTF-8 bytes needed is 0, then, based on byte:"
        if bytes_needed == 0:
            if byte <= 0x7F:  # "0x00 to 0x7F: Return a code point whose value is byte."
                output += chr(byte)
            elif 0xC2 <= byte <= 0xDF:  # "0xC2 to 0xDF"
                bytes_needed = 1
                code_point = byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:  # "0xE0 to 0xEF"
                if byte == 0xE0:
                    lower_boundary = 0xA0
                if byte == 0xED:
                    upper_boundary = 0x9F
                bytes_needed = 2
                code_point = byte & 0xF
            elif 0xF0 <= byte <= 0xF4:  # "0xF0 to 0xF4"
                if byte == 0xF0:
                    lower_boundary = 0x90
                if byte == 0xF4:
                    upper_boundary = 0x8F
                bytes_needed = 3
                code_point = byte & 0x7
            else:  # "Otherwise: Return error."
                output += "\ufffd"
            continue
        # "If byte is not in the range UTF-8 lower boundary to UTF-8 upper boundary, inclusive,
        # then: Set UTF-8 code point, UTF-8 bytes needed, and UTF-8 bytes seen to 0, set UTF-8
        # lower boundary to 0x80, and set UTF-8 upper boundary to 0xBF. Restore byte to ioQueue.
        # Return error."
        if not lower_boundary <= byte <= upper_boundary:
            code_point = bytes_needed = bytes_seen = 0
            lower_boundary, upper_boundary = 0x80, 0xBF
            queue.insert(0, byte)
            output += "\ufffd"
            continue
        # "Set UTF-8 lower boundary to 0x80 and UTF-8 upper boundary to 0xBF. Set UTF-8 code point
        # to (UTF-8 code point << 6) | (byte & 0x3F). Increase UTF-8 bytes seen by one. If UTF-8
        # bytes seen is not equal to UTF-8 bytes needed, then return continue. ... Return a code
        # point whose value is code point."
        lower_boundary, upper_boundary = 0x80, 0xBF
        code_point = (code_point << 6) | (byte & 0x3F)
        bytes_seen += 1
        if bytes_seen == bytes_needed:
            output += chr(code_point)
            code_point = bytes_needed = bytes_seen = 0


def _complete_lines(text: str) -> list[str]:
    """The lines of `text` that have an end."""
    # "The stream must then be parsed by reading everything line by line, with a U+000D CARRIAGE
    # RETURN U+000A LINE FEED (CRLF) character pair, a single U+000A LINE FEED (LF) character not
    # preceded by a U+000D CARRIAGE RETURN (CR) character, and a single U+000D CARRIAGE RETURN (CR)
    # character not followed by a U+000A LINE FEED (LF) character being the ways in which a line can
    # end."
    lines: list[str] = []
    line, place = "", 0
    while place < len(text):
        if text[place] == "\r" and text[place + 1 : place + 2] == "\n":
            lines.append(line)
            line, place = "", place + 2
        elif text[place] in ("\r", "\n"):
            lines.append(line)
            line, place = "", place + 1
        else:
            line, place = line + text[place], place + 1
    # "Once the end of the file is reached, any pending data must be discarded." So is a line that
    # has no end: in the ABNF of 9.2.5 every comment and field has its end-of-line.
    return lines


class _Interpreter:
    def __init__(self) -> None:
        # "When a stream is parsed, a data buffer, an event type buffer, and a last event ID buffer
        # must be associated with it. They must be initialized to the empty string."
        self.data_buffer = ""
        self.event_type_buffer = ""
        self.last_event_id_buffer = ""
        self.result = Interpretation()

    def interpret(self, lines: list[str]) -> Interpretation:
        # "Lines must be processed, in the order they are received, as follows:"
        for line in lines:
            # "If the line is empty (a blank line): Dispatch the event, as defined below."
            if line == "":
                self.dispatch()
            # "If the line starts with a U+003A COLON character (:): Ignore the line."
            elif line[0] == ":":
                self.result.comments.append(line[1:])
            # "If the line contains a U+003A COLON character (:): Collect the characters on the line
            # before the first U+003A COLON character (:), and let field be that string. Collect the
            # characters on the line after the first U+003A COLON character (:), and let value be
            # that string. If value starts with a U+0020 SPACE character, remove it from value."
            elif ":" in line:
                colon = line.index(":")
                name, value = line[:colon], line[colon + 1 :]
                if value[:1] == " ":
                    value = value[1:]
                self.process_field(name, value, line)
            # "Otherwise, the string is not empty but does not contain a U+003A COLON character (:):
            # Process the field using the steps described below, using the whole line as the field
            # name, and the empty string as the field value."
            else:
                self.process_field(line, "", line)
        # "(If the file ends in the middle of an event, before the final empty line, the incomplete
        # event is not dispatched.)"
        return self.result

    def process_field(self, name: str, value: str, line: str) -> None:
        # "Field names must be compared literally, with no case folding performed."
        # "If the field name is "event": Set the event type buffer to the field value."
        if name == "event":
            self.event_type_buffer = value
        # "If the field name is "data": Append the field value to the data buffer, then append a
        # single U+000A LINE FEED (LF) character to the data buffer."
        elif name == "data":
            self.data_buffer += value
            self.data_buffer += "\n"
        # "If the field name is "id": If the field value does not contain U+0000 NULL, then set the
        # last event ID buffer to the field value. Otherwise, ignore the field."
        elif name == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        # "If the field name is "retry": If the field value consists of only ASCII digits, then
        # interpret the field value as an integer in base ten, and set the event stream's
        # reconnection time to that integer. Otherwise, ignore the field."
        elif name == "retry":
            # No digits at all are no integer; so say browsers, and WPT's format-field-retry-empty.
            if value and all(character in "0123456789" for character in value):
                self.result.retry = 0
                for character in value:
                    self.result.retry = self.result.retry * 10 + "0123456789".index(character)
        # "Otherwise: The field is ignored."
        else:
            self.result.items.append(Ignored(line))

    def dispatch(self) -> None:
        # "1. Set the last event ID string of the event source to the value of the last event ID
        # buffer. The buffer does not get reset, so the last event ID string of the event source
        # remains set to this value until the next time it is set by the server."
        self.result.last_event_id = self.last_event_id_buffer
        # "2. If the data buffer is an empty string, set the data buffer and the event type buffer
        # to the empty string and return."
        if self.data_buffer == "":
            self.event_type_buffer = ""
            return
        # "3. If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove
        # the last character from the data buffer."
        if self.data_buffer[-1] == "\n":
            self.data_buffer = self.data_buffer[:-1]
        # "5. Initialize event's type attribute to "message", its data attribute to data, ... and
        # its lastEventId attribute to the last event ID string of the event source."
        type_ = "message"
        # "6. If the event type buffer has a value other than the empty string, change the type of
        # the newly created event to equal the value of the event type buffer."
        if self.event_type_buffer != "":
            type_ = self.event_type_buffer
        self.result.items.append(Message(type_, self.data_buffer, self.result.last_event_id))
        # "7. Set the data buffer and the event type buffer to the empty string."
        self.data_buffer = ""
        self.event_type_buffer = ""
