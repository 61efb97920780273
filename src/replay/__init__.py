"""Cassettes: what came over the wire, kept with every cut and pause, and played back.

`cassette` is the file, `redaction` keeps secrets out of it, `recorder` and `proxy` write it,
`player` finds the answer to a request, `client` and `server` play it back, `timeline` shows it.
`tokenwire.testing.cassettes` has the names for programs. Only `proxy` and `server` need an extra.
"""
